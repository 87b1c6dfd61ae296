#include "core/gguf/cursor.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/tensor/shape.h"

namespace quantized::gguf {
namespace {

constexpr uint64_t kWindowBytes = 1 << 16;

}  // namespace

Cursor::Cursor(const ByteSource& source, uint64_t max_bytes)
    : source_(source), max_bytes_(max_bytes) {}

absl::Status Cursor::CheckRoomFor(uint64_t count, uint64_t min_bytes) const {
  const uint64_t left = source_.size_bytes() - position_;
  const auto needed = CheckedMultiply(count, min_bytes);
  if (!needed || *needed > left) {
    const std::string what = min_bytes == 1
                                 ? StrCat(count, " bytes")
                                 : StrCat(count, " entries of at least ", min_bytes, " bytes");
    return MakeError(Error::kValidationFailed,
                     StrCat("needs ", what, " at byte ", position_, ", file has ", left, " left"));
  }
  if (*needed > max_bytes_ - position_) {
    return MakeError(Error::kValidationFailed,
                     StrCat("needs ", *needed, " bytes at byte ", position_,
                            ", a header of at most ", max_bytes_, " bytes is accepted"));
  }
  return absl::OkStatus();
}

absl::Status Cursor::ReadBytes(std::span<std::byte> out) {
  RETURN_IF_ERROR(CheckRoomFor(out.size(), 1));
  while (!out.empty()) {
    if (position_ - window_start_ >= window_.size()) {
      window_start_ = position_;
      window_.resize(
          std::min({kWindowBytes, source_.size_bytes() - position_, max_bytes_ - position_}));
      RETURN_IF_ERROR(source_.ReadAt(window_start_, window_));
    }
    const auto available = std::span(window_).subspan(position_ - window_start_);
    const size_t size = std::min(out.size(), available.size());
    std::memcpy(out.data(), available.data(), size);
    out = out.subspan(size);
    position_ += size;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Cursor::ReadString() {
  ASSIGN_OR_RETURN(const uint64_t size, ReadNumber<uint64_t>());
  RETURN_IF_ERROR(CheckRoomFor(size, 1));
  std::string text(size, '\0');
  RETURN_IF_ERROR(ReadBytes(std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace quantized::gguf
