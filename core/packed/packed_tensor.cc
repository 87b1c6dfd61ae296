#include "core/packed/packed_tensor.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"
#include "kernels/types/half.h"

namespace quantized {
namespace {

std::string Text(const PackedShape& shape) {
  return StrCat(RowOf(shape.dtype).name, " ", ShapeText(shape.dims));
}

}  // namespace

absl::Status DamagedTensor(std::string_view module, std::string_view suffix,
                           std::string_view what) {
  return MakeError(Error::kValidationFailed,
                   StrCat("tensor ", PrintableName(module), ".", suffix, ": ", what),
                   "Check that all weights are there and whole, or quantize the original model");
}

uint64_t SizeBytes(const PackedShape& shape) {
  const auto elements = ElementCount(shape.dims);
  CHECK(elements.has_value());
  const auto size_bytes = CheckedMultiply(*elements, RowOf(shape.dtype).size_bytes);
  CHECK(size_bytes.has_value());
  return *size_bytes;
}

PackedTensor EmptyTensor(PackedShape shape) {
  const uint64_t size_bytes = SizeBytes(shape);
  return {std::move(shape), std::vector<std::byte>(size_bytes)};
}

const PackedTensor* FindSuffix(std::span<const PackedTensor> tensors, std::string_view suffix) {
  for (const PackedTensor& tensor : tensors) {
    if (tensor.shape.suffix == suffix) return &tensor;
  }
  return nullptr;
}

absl::StatusOr<const PackedTensor*> TensorLike(std::string_view module,
                                               std::span<const PackedTensor> tensors,
                                               const PackedShape& expected) {
  const PackedTensor* tensor = FindSuffix(tensors, expected.suffix);
  if (tensor == nullptr) return DamagedTensor(module, expected.suffix, "missing");
  if (tensor->shape.dtype != expected.dtype || tensor->shape.dims != expected.dims) {
    return DamagedTensor(module, expected.suffix,
                         StrCat("found ", Text(tensor->shape), ", expected ", Text(expected)));
  }
  if (tensor->bytes.size() != SizeBytes(expected)) {
    return DamagedTensor(
        module, expected.suffix,
        StrCat("found ", tensor->bytes.size(), " bytes, expected ", SizeBytes(expected)));
  }
  return tensor;
}

absl::Status PackScales(std::string_view module, const Matrix& scales, PackedTensor& to) {
  CHECK(to.bytes.size() == scales.values.size() * sizeof(uint16_t));
  for (size_t row = 0; row < scales.rows; ++row) {
    for (size_t group = 0; group < scales.cols; ++group) {
      const float scale = scales.at(row, group);
      const uint16_t half = kernels::F32ToF16(scale);
      if (!kernels::IsFiniteF16(half) || kernels::F16ToF32(half) != scale) {
        return DamagedTensor(module, "scales",
                             StrCat("group ", group, " of output ", row, ": found ", scale,
                                    ", expected a value that float16 holds"));
      }
      std::memcpy(&to.bytes[(group * scales.rows + row) * sizeof(half)], &half, sizeof(half));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Matrix> UnpackScales(std::string_view module, const PackedTensor& from) {
  CHECK(from.shape.dims.size() == 2 && from.bytes.size() == SizeBytes(from.shape));
  CHECK(from.shape.dtype == DType::kF16 || from.shape.dtype == DType::kBF16);
  const bool is_f16 = from.shape.dtype == DType::kF16;
  Matrix scales(from.shape.dims[1], from.shape.dims[0]);
  for (size_t group = 0; group < scales.cols; ++group) {
    for (size_t row = 0; row < scales.rows; ++row) {
      uint16_t half;
      std::memcpy(&half, &from.bytes[(group * scales.rows + row) * sizeof(half)], sizeof(half));
      if (!(is_f16 ? kernels::IsFiniteF16(half) : kernels::IsFiniteBF16(half))) {
        return DamagedTensor(
            module, from.shape.suffix,
            StrCat("group ", group, " of output ", row, " is not a finite number"));
      }
      scales.at(row, group) = is_f16 ? kernels::F16ToF32(half) : kernels::BF16ToF32(half);
    }
  }
  return scales;
}

std::vector<uint8_t> Transposed(std::span<const uint8_t> values, size_t rows, size_t cols) {
  CHECK(values.size() == rows * cols);
  std::vector<uint8_t> result(values.size());
  for (size_t row = 0; row < rows; ++row) {
    for (size_t col = 0; col < cols; ++col) result[col * rows + row] = values[row * cols + col];
  }
  return result;
}

}  // namespace quantized
