// One GGUF file's header, parsed and checked against the file's size. Format: docs/formats/gguf.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/gguf/metadata.h"
#include "core/tensor/byte_source.h"
#include "kernels/types/quant_type.h"

namespace quantized::gguf {

struct TensorInfo {
  std::string name;
  kernels::TypeId type = kernels::TypeId::kF32;
  std::vector<uint64_t> dims;  // 1 to 4, none of them 0; dims[0] is the row length
  uint32_t part = 0;           // which file of a split model holds it
  uint64_t offset = 0;         // of its first byte, from the start of that file
  uint64_t size_bytes = 0;     // rows * RowBytes(type, dims[0])
};

struct FileHeader {
  uint32_t version = 0;
  uint64_t alignment = 0;
  uint64_t size_bytes = 0;  // up to the padding before the data
  Metadata metadata;
  std::vector<TensorInfo> tensors;  // in file order
};

// Where a metadata key is absent, and what it is called.
inline constexpr uint64_t kDefaultAlignment = 32;
inline constexpr std::string_view kAlignmentKey = "general.alignment";

// The value of general.alignment, or the default. Errors: kValidationFailed when it is not a uint32
// that is a power of two up to 2^20.
absl::StatusOr<uint64_t> AlignmentOf(const Metadata& metadata);

// Bytes of a tensor of `type` and `dims`. Errors: kValidationFailed when it has not 1 to 4
// dimensions of at least 1, its rows are not whole blocks, or its size does not fit 63 bits.
absl::StatusOr<uint64_t> TensorBytes(kernels::TypeId type, std::span<const uint64_t> dims);

// Errors: kValidationFailed, whose message names file, key or tensor, what was found and expected;
// kIo. No more than a few times the header's own size is allocated, and no header above
// 64 MiB is read: five times what the largest vocabularies need.
absl::StatusOr<FileHeader> ParseFileHeader(const ByteSource& bytes);

}  // namespace quantized::gguf
