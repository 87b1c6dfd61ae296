#include "kernels/types/quant_type.h"

#include <algorithm>
#include <array>

#include "hwy/base.h"

namespace quantized::kernels {
namespace {

constexpr QuantType kQuantTypes[] = {
    {TypeId::kF32, "F32", 1, 4},
    {TypeId::kF16, "F16", 1, 2},
    {TypeId::kQ4_0, "Q4_0", 32, 18},
    {TypeId::kQ4_1, "Q4_1", 32, 20},
    {TypeId::kQ5_0, "Q5_0", 32, 22},
    {TypeId::kQ5_1, "Q5_1", 32, 24},
    {TypeId::kQ8_0, "Q8_0", 32, 34},
    {TypeId::kQ8_1, "Q8_1", 32, 36},
    {TypeId::kQ2_K, "Q2_K", 256, 84},
    {TypeId::kQ3_K, "Q3_K", 256, 110},
    {TypeId::kQ4_K, "Q4_K", 256, 144},
    {TypeId::kQ5_K, "Q5_K", 256, 176},
    {TypeId::kQ6_K, "Q6_K", 256, 210},
    {TypeId::kQ8_K, "Q8_K", 256, 292},
    {TypeId::kIQ2_XXS, "IQ2_XXS", 256, 66},
    {TypeId::kIQ2_XS, "IQ2_XS", 256, 74},
    {TypeId::kIQ3_XXS, "IQ3_XXS", 256, 98},
    {TypeId::kIQ1_S, "IQ1_S", 256, 50},
    {TypeId::kIQ4_NL, "IQ4_NL", 32, 18},
    {TypeId::kIQ3_S, "IQ3_S", 256, 110},
    {TypeId::kIQ2_S, "IQ2_S", 256, 82},
    {TypeId::kIQ4_XS, "IQ4_XS", 256, 136},
    {TypeId::kI8, "I8", 1, 1},
    {TypeId::kI16, "I16", 1, 2},
    {TypeId::kI32, "I32", 1, 4},
    {TypeId::kI64, "I64", 1, 8},
    {TypeId::kF64, "F64", 1, 8},
    {TypeId::kIQ1_M, "IQ1_M", 256, 56},
    {TypeId::kBF16, "BF16", 1, 2},
    {TypeId::kTQ1_0, "TQ1_0", 256, 54},
    {TypeId::kTQ2_0, "TQ2_0", 256, 66},
    {TypeId::kMXFP4, "MXFP4", 32, 17},
    {TypeId::kNVFP4, "NVFP4", 64, 36},
    {TypeId::kQ1_0, "Q1_0", 128, 18},
    {TypeId::kQ2_0, "Q2_0", 64, 18},
};

constexpr bool StrictlyOrderedById() {
  for (size_t i = 1; i < std::size(kQuantTypes); ++i) {
    if (kQuantTypes[i - 1].id >= kQuantTypes[i].id) return false;
  }
  return true;
}
static_assert(StrictlyOrderedById());

constexpr bool SizesAreSound() {
  return std::ranges::all_of(kQuantTypes, [](const QuantType& type) {
    return type.block_values > 0 && type.block_bytes > 0 && !type.name.empty();
  });
}
static_assert(SizesAreSound());

constexpr char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool SameName(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, Lower, Lower);
}

}  // namespace

std::span<const QuantType> AllQuantTypes() { return kQuantTypes; }

const QuantType* FindQuantType(uint32_t id) {
  const auto* row = std::ranges::lower_bound(
      kQuantTypes, id, {}, [](const QuantType& type) { return static_cast<uint32_t>(type.id); });
  return row != std::end(kQuantTypes) && static_cast<uint32_t>(row->id) == id ? row : nullptr;
}

const QuantType* FindQuantType(std::string_view name) {
  const auto* row = std::ranges::find_if(
      kQuantTypes, [name](const QuantType& type) { return SameName(type.name, name); });
  return row != std::end(kQuantTypes) ? row : nullptr;
}

const QuantType& QuantTypeOf(TypeId id) {
  const QuantType* type = FindQuantType(static_cast<uint32_t>(id));
  HWY_ASSERT(type != nullptr);
  return *type;
}

uint64_t RowBytes(const QuantType& type, uint64_t cols) {
  HWY_ASSERT(cols % type.block_values == 0);
  return cols / type.block_values * type.block_bytes;
}

}  // namespace quantized::kernels
