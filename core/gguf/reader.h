// A GGUF model, opened read-only: one file, or all files of a split model. Format:
// docs/formats/gguf.md. Holds the header only; data is read where asked for, never mapped.
// Thread-safe: any thread may call const methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/gguf/file_header.h"
#include "core/gguf/metadata.h"
#include "core/tensor/byte_source.h"

namespace quantized::gguf {

class GgufReader {
 public:
  struct Part {
    std::unique_ptr<ByteSource> bytes;
    uint64_t header_bytes = 0;  // what a fingerprint covers
  };

  // Checks every count, offset and type before returning, so that no accessor can fail. `path` may
  // be any file of a split model; the others are found beside it. Errors: kModelNotFound (no such
  // file), kIo, kValidationFailed whose message names file, key or tensor, found and expected (a
  // missing file of a split model too).
  static absl::StatusOr<std::unique_ptr<GgufReader>> Open(const std::filesystem::path& path);
  // A single file; one that is part of a split model is refused.
  static absl::StatusOr<std::unique_ptr<GgufReader>> Open(std::unique_ptr<ByteSource> bytes);

  // These files, whatever they are called: one, or all of a split model in order.
  static absl::StatusOr<std::unique_ptr<GgufReader>> Open(
      std::span<const std::filesystem::path> files);

  // Of the first file, `split.` keys included.
  const Metadata& metadata() const { return metadata_; }
  // In file order, the files one after the other. Offsets count from the start of their file.
  std::span<const TensorInfo> tensors() const { return tensors_; }
  std::span<const Part> parts() const { return parts_; }
  uint32_t version() const { return version_; }

  // Fills `out` with the bytes of `tensor` from `first_byte` on. The range must lie inside the
  // tensor. Errors: kIo; kValidationFailed where the file has shrunk.
  absl::Status Read(const TensorInfo& tensor, uint64_t first_byte, std::span<std::byte> out) const;

 private:
  GgufReader() = default;
  // Appends the next file of the model.
  void AddPart(std::unique_ptr<ByteSource> bytes, FileHeader header);
  absl::Status CheckJoined() const;

  std::vector<Part> parts_;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  uint32_t version_ = 0;
};

}  // namespace quantized::gguf
