// Reads the header of a GGUF file, or another file of little-endian numbers and texts, from front
// to back through a small window, so that neither its length nor any count in it decides how much
// memory is taken before the bytes are there.
// Messages name the byte offset; the callers put file, key and field before them.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/status_macros.h"
#include "core/tensor/byte_source.h"

namespace quantized::gguf {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they stand");

class Cursor {
 public:
  // No more than `max_bytes` of `source`, which must outlive the cursor, are read.
  Cursor(const ByteSource& source, uint64_t max_bytes);

  uint64_t position() const { return position_; }

  template <typename T>
  requires std::is_arithmetic_v<T> absl::StatusOr<T> ReadNumber() {
    T value;
    RETURN_IF_ERROR(ReadBytes(std::as_writable_bytes(std::span(&value, 1))));
    return value;
  }

  // A string: 64-bit length, then bytes.
  absl::StatusOr<std::string> ReadString();

  // `count` numbers.
  template <typename T>
  requires std::is_arithmetic_v<T> absl::StatusOr<std::vector<T>> ReadNumbers(uint64_t count) {
    RETURN_IF_ERROR(CheckRoomFor(count, sizeof(T)));
    std::vector<T> values(count);
    RETURN_IF_ERROR(ReadBytes(std::as_writable_bytes(std::span(values))));
    return values;
  }

  absl::Status ReadBytes(std::span<std::byte> out);

  // Whether `count` things of at least `min_bytes` each can follow. Errors: kValidationFailed.
  absl::Status CheckRoomFor(uint64_t count, uint64_t min_bytes) const;

 private:
  const ByteSource& source_;
  const uint64_t max_bytes_;
  uint64_t position_ = 0;
  std::vector<std::byte> window_;  // bytes [window_start_, window_start_ + size)
  uint64_t window_start_ = 0;
};

}  // namespace quantized::gguf
