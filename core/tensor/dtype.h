// The element types a checkpoint's tensor can have, as one table. Names are those of the
// safetensors format (docs/formats/safetensors.md); elements are little-endian and not packed into
// blocks.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace quantized {

enum class DType {
  kF64,
  kF32,
  kF16,
  kBF16,
  kI64,
  kI32,
  kI16,
  kU8,
  kI8,
  kBool,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
};

struct DTypeRow {
  DType dtype;
  std::string_view name;  // in a safetensors header: "BF16"
  uint32_t size_bytes;    // of one element
  bool is_float;
  std::string_view torch_name;  // as Hugging Face's `torch_dtype` says it: "bfloat16"
};

// One row per DType, in the order of the enumeration.
std::span<const DTypeRow> AllDTypes();
const DTypeRow& RowOf(DType dtype);
// Null where no row has this name. Case counts, as in the format.
const DTypeRow* FindDType(std::string_view name);

}  // namespace quantized
