#include "daemon/worker/frames.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"

namespace quantized {

absl::StatusOr<std::string> EncodeFrame(const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  if (size > kMaxFrameBytes) {
    return MakeError(Error::kInternal, absl::StrCat("frame of ", size, " bytes, at most ",
                                                    kMaxFrameBytes, " are allowed"));
  }
  std::string frame;
  frame.reserve(kFrameHeaderBytes + size);
  for (size_t i = 0; i < kFrameHeaderBytes; ++i) {
    frame.push_back(static_cast<char>(size >> (8 * i) & 0xff));
  }
  message.AppendToString(&frame);
  return frame;
}

absl::StatusOr<bool> FrameReader::NextPayload(std::string_view* payload) {
  // What was handed out goes once it is most of the buffer, so that each byte is moved O(1) times.
  if (read_ > 0 && read_ * 2 >= buffer_.size()) {
    buffer_.erase(0, read_);
    read_ = 0;
  }
  const std::string_view unread = std::string_view(buffer_).substr(read_);
  if (unread.size() < kFrameHeaderBytes) return false;
  uint32_t size = 0;
  for (size_t i = 0; i < kFrameHeaderBytes; ++i) {
    size |= uint32_t{static_cast<unsigned char>(unread[i])} << (8 * i);
  }
  if (size > kMaxFrameBytes) {
    return MakeError(Error::kInternal, absl::StrCat("frame announces ", size, " bytes, at most ",
                                                    kMaxFrameBytes, " are allowed"));
  }
  if (unread.size() - kFrameHeaderBytes < size) return false;
  *payload = unread.substr(kFrameHeaderBytes, size);
  read_ += kFrameHeaderBytes + size;
  return true;
}

absl::Status FrameReader::Unreadable(size_t size_bytes) {
  return MakeError(Error::kInternal,
                   absl::StrCat("frame of ", size_bytes, " bytes is no message of a known kind"));
}

}  // namespace quantized
