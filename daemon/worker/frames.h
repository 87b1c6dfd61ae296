// Frames between the daemon and a worker (proto/quantized/v1/worker.proto): 4 bytes of length,
// little-endian, at most kMaxFrameBytes, then one protobuf message. The same code reads and writes
// them at both ends. Not thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "quantized/v1/worker.pb.h"

namespace quantized {

// The worker's descriptor of the socketpair.
inline constexpr int kWorkerSocket = 3;

inline constexpr size_t kFrameHeaderBytes = 4;
inline constexpr size_t kMaxFrameBytes = size_t{16} << 20;

// `message` with its length before it. Errors: kInternal when it is longer than kMaxFrameBytes.
absl::StatusOr<std::string> EncodeFrame(const google::protobuf::MessageLite& message);

// Cuts a stream of bytes, which may come in any portions, into messages. Holds no more than was
// received: a length is checked before anything is kept for it.
class FrameReader {
 public:
  void Append(std::string_view bytes) { buffer_.append(bytes); }

  // The next whole message, or nothing as long as it is incomplete. `Frame` is WorkerFrame or
  // DaemonFrame. Errors (kInternal; the stream is of no more use): a length above kMaxFrameBytes,
  // bytes that are no message, a message of no known kind.
  template <typename Frame>
  absl::StatusOr<std::optional<Frame>> Next() {
    std::string_view payload;
    if (absl::StatusOr<bool> whole = NextPayload(&payload); !whole.ok() || !*whole) {
      if (!whole.ok()) return whole.status();
      return std::optional<Frame>();
    }
    std::optional<Frame> frame(std::in_place);
    if (!frame->ParseFromArray(payload.data(), static_cast<int>(payload.size())) ||
        frame->kind_case() == Frame::KIND_NOT_SET) {
      return Unreadable(payload.size());
    }
    return frame;
  }

 private:
  // True when a whole frame is there; `*payload` then points into the buffer until the next call of
  // any member.
  absl::StatusOr<bool> NextPayload(std::string_view* payload);
  static absl::Status Unreadable(size_t size_bytes);

  std::string buffer_;
  size_t read_ = 0;  // bytes of buffer_ that were handed out
};

}  // namespace quantized
