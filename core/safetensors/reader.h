// A safetensors file, opened read-only. Format: docs/formats/safetensors.md.
// Holds the header only; data is read where asked for, never mapped.
// Thread-safe: any thread may call const methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/safetensors/header.h"
#include "core/tensor/byte_source.h"

namespace quantized::safetensors {

class SafetensorsReader {
 public:
  // Checks the whole header against the file's size before returning, so that no accessor can fail.
  // Errors: kModelNotFound (no such file), kIo, kValidationFailed whose message names file, tensor,
  // field, what was found and what was expected.
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Open(const std::filesystem::path& path);
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Open(std::unique_ptr<ByteSource> bytes);

  // In byte order of names; offsets count from the start of the file.
  std::span<const TensorInfo> tensors() const { return header_.tensors; }
  // Null when there is none; points into *this.
  const TensorInfo* Find(std::string_view name) const;
  // Keys and values of `__metadata__`, in file order.
  std::span<const std::pair<std::string, std::string>> metadata() const { return header_.metadata; }

  // Fills `out` with the bytes of `tensor` from `first_byte` on. The range must lie inside the
  // tensor. Errors: kIo; kValidationFailed where the file has shrunk.
  absl::Status Read(const TensorInfo& tensor, uint64_t first_byte, std::span<std::byte> out) const;

  const ByteSource& bytes() const { return *bytes_; }
  // Bytes before the data: length field and JSON. What a fingerprint covers.
  uint64_t header_bytes() const { return header_bytes_; }

 private:
  SafetensorsReader(std::unique_ptr<ByteSource> bytes, Header header, uint64_t header_bytes)
      : bytes_(std::move(bytes)), header_(std::move(header)), header_bytes_(header_bytes) {}

  const std::unique_ptr<ByteSource> bytes_;
  const Header header_;
  const uint64_t header_bytes_;
};

}  // namespace quantized::safetensors
