// Where everything of a GGUF file that is to be written will lie. Format: docs/formats/gguf.md.
// The plan is a pure function of metadata and tensors, known before any data is: the writer puts
// the header at byte 0 and each tensor's bytes at their offset, in any order and from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/gguf/metadata.h"
#include "kernels/types/quant_type.h"

namespace quantized::gguf {

struct PlannedTensor {
  std::string name;
  kernels::TypeId type = kernels::TypeId::kF32;
  std::vector<uint64_t> dims;  // dims[0] is the row length
};

struct GgufLayout {
  struct Placement {
    uint64_t offset = 0;      // from the start of the file
    uint64_t size_bytes = 0;  // without padding
  };

  // Bytes [0, data_start): magic, counts, metadata, tensor infos, padding.
  std::string header;
  uint64_t data_start = 0;
  // One per tensor, in the order given, ascending. The bytes between a tensor's end and the next
  // one's offset (or the end of the file) are zero: a file that was extended to its size has them.
  std::vector<Placement> tensors;
  uint64_t file_size_bytes = 0;
};

// Plans a version 3 file; the alignment is that of `general.alignment`, else 32. Errors:
// kValidationFailed, naming the tensor: a name that is there twice or has more than 63 bytes
// (readers in the field refuse it), dimensions or a type that cannot be (TensorBytes), a bad
// alignment.
absl::StatusOr<GgufLayout> Plan(const Metadata& metadata, std::span<const PlannedTensor> tensors);

}  // namespace quantized::gguf
