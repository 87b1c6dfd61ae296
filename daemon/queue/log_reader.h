// Reads the logs of attempts for those who ask, some of whom follow a log that still grows. Files
// are read on a thread of their own, since a disk may be slow. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "daemon/queue/job_queue.h"

namespace quantized {

class LogReader {
 public:
  static constexpr size_t kMaxChunkBytes = size_t{64} << 10;

  struct Chunk {
    uint64_t offset = 0;  // of the first byte
    std::string data;     // empty: the end, and nothing follows
  };
  using Reply = std::function<void(absl::StatusOr<Chunk>)>;
  // Asked now and then while a reply waits for a log to grow; true ends the wait.
  using GivenUp = std::function<bool()>;

  LogReader();
  // Waiting replies get kDaemonUnavailable.
  ~LogReader();

  // Calls `reply` once, on the reader's thread, with what the log holds from `offset` on. At its
  // end the reply waits for more, if `follow` and the attempt has not ended. A log that is not
  // there (yet) is empty. Errors: kIo; kCancelled when given up.
  void Read(const JobQueue::AttemptLog& log, uint64_t offset, bool follow, GivenUp given_up,
            Reply reply);

 private:
  struct Request {
    JobQueue::AttemptLog log;
    uint64_t offset = 0;
    bool follow = false;
    GivenUp given_up;
    Reply reply;
  };

  void Run();
  // The answer; none: there is nothing yet.
  static std::optional<absl::StatusOr<Chunk>> TryRead(const Request& request);

  Mutex mutex_;
  CondVar changed_;
  std::list<Request> arrived_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace quantized
