// The JSON header of a safetensors file, parsed and checked. Format: docs/formats/safetensors.md.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tensor/dtype.h"

namespace quantized::safetensors {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;  // outermost dimension first; empty for a scalar
  uint64_t offset = 0;          // of its first byte; see Header and SafetensorsReader::tensors
  uint64_t size_bytes = 0;      // element count * size of the dtype
};

struct Header {
  std::vector<TensorInfo> tensors;  // in byte order of names; offsets count from the data's start
  std::vector<std::pair<std::string, std::string>> metadata;  // `__metadata__`, in file order
};

// Parses `json` and checks everything that can be checked without the data: one entry per name,
// known dtypes, sizes that do not overflow and equal the data_offsets, and data that is covered by
// the tensors from 0 to `data_bytes` without gap or overlap. `file_name` goes into messages.
// Errors: kValidationFailed.
absl::StatusOr<Header> ParseHeader(std::string_view file_name, std::string json,
                                   uint64_t data_bytes);

}  // namespace quantized::safetensors
