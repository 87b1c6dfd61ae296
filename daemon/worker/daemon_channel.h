// The worker's end of the socketpair. A daemon that is gone, or that sends what cannot be read,
// ends the process there and then: what was finished is in the checkpoint, the rest has no taker.
// Send is thread-safe; Receive and TryReceive belong to one thread at a time.
#pragma once

#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "daemon/worker/frames.h"
#include "quantized/v1/worker.pb.h"

namespace quantized {

class DaemonChannel {
 public:
  // Exit code of a worker whose daemon went away.
  static constexpr int kDaemonGone = 1;

  explicit DaemonChannel(int socket) : socket_(socket) {}

  // Blocks until all is sent. Errors: kInternal when the frame is too long; nothing was sent then.
  absl::Status Send(const v1::WorkerFrame& frame);

  // The next frame; blocks.
  v1::DaemonFrame Receive();
  // The next frame that has come already, if any. Reads what there is; call it until it gives none.
  std::optional<v1::DaemonFrame> TryReceive();

  int socket() const { return socket_; }

 private:
  std::optional<v1::DaemonFrame> Next();
  // False when `flags` ask not to wait and nothing is there.
  bool ReadSome(int flags);

  const int socket_;
  Mutex mutex_;
  FrameReader reader_;
};

}  // namespace quantized
