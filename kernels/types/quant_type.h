// The types a GGUF tensor can have, as one table. Format: docs/formats/gguf-types.md.
// Ids are the ones written in GGUF files. Rows of a tensor are `cols` values, row-major; a
// quantized row is cols / block_values blocks of block_bytes each, without padding.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace quantized::kernels {

enum class TypeId : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
  kQ2_0 = 42,
};

struct QuantType {
  TypeId id;
  std::string_view name;  // "Q4_K"
  uint32_t block_values;  // 1 for types that are not quantized
  uint32_t block_bytes;
};

// All rows, ordered by id.
std::span<const QuantType> AllQuantTypes();
// Null where no row has this id or name. Names are compared without regard to case.
const QuantType* FindQuantType(uint32_t id);
const QuantType* FindQuantType(std::string_view name);
// The row of a type that exists.
const QuantType& QuantTypeOf(TypeId id);

// Bytes of a row of `cols` values. `cols` must be a multiple of block_values.
uint64_t RowBytes(const QuantType& type, uint64_t cols);

}  // namespace quantized::kernels
