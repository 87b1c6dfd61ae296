#include "core/tensor/dtype.h"

#include <array>

#include "core/base/check.h"

namespace quantized {
namespace {

constexpr std::array kDTypes = {
    DTypeRow{DType::kF64, "F64", 8, true, "float64"},
    DTypeRow{DType::kF32, "F32", 4, true, "float32"},
    DTypeRow{DType::kF16, "F16", 2, true, "float16"},
    DTypeRow{DType::kBF16, "BF16", 2, true, "bfloat16"},
    DTypeRow{DType::kI64, "I64", 8, false, "int64"},
    DTypeRow{DType::kI32, "I32", 4, false, "int32"},
    DTypeRow{DType::kI16, "I16", 2, false, "int16"},
    DTypeRow{DType::kU8, "U8", 1, false, "uint8"},
    DTypeRow{DType::kI8, "I8", 1, false, "int8"},
    DTypeRow{DType::kBool, "BOOL", 1, false, "bool"},
    DTypeRow{DType::kF8E4M3, "F8_E4M3", 1, true, "float8_e4m3fn"},
    DTypeRow{DType::kF8E5M2, "F8_E5M2", 1, true, "float8_e5m2"},
    DTypeRow{DType::kF8E8M0, "F8_E8M0", 1, true, "float8_e8m0fnu"},
};

constexpr bool OrderedByDType() {
  for (size_t i = 0; i < kDTypes.size(); ++i) {
    if (static_cast<size_t>(kDTypes[i].dtype) != i) return false;
  }
  return kDTypes.size() == static_cast<size_t>(DType::kF8E8M0) + 1;
}
static_assert(OrderedByDType(), "kDTypes must hold each DType once, in order");

}  // namespace

std::span<const DTypeRow> AllDTypes() { return kDTypes; }

const DTypeRow& RowOf(DType dtype) {
  const size_t index = static_cast<size_t>(dtype);
  CHECK(index < kDTypes.size());
  return kDTypes[index];
}

const DTypeRow* FindDType(std::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

}  // namespace quantized
