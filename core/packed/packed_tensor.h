// The tensors that stand for a quantized linear layer in a checkpoint: MODULE.SUFFIX each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/packed/quantized_linear.h"
#include "core/tensor/dtype.h"

namespace quantized {

struct PackedShape {
  std::string_view suffix;  // "qweight"; a literal
  DType dtype = DType::kI32;
  std::vector<uint64_t> dims;  // outermost first
};

struct PackedTensor {
  PackedShape shape;
  std::vector<std::byte> bytes;  // little-endian elements, row-major
};

// kValidationFailed: "tensor MODULE.SUFFIX: what".
absl::Status DamagedTensor(std::string_view module, std::string_view suffix, std::string_view what);

// Bytes of a tensor of that shape, which is one of ours: it does not overflow.
uint64_t SizeBytes(const PackedShape& shape);

// Zeroed bytes of the shape.
PackedTensor EmptyTensor(PackedShape shape);

// The tensor with that suffix, null where there is none.
const PackedTensor* FindSuffix(std::span<const PackedTensor> tensors, std::string_view suffix);

// As FindSuffix, with dtype and dimensions as in `expected` and as many bytes as they need. Errors:
// kValidationFailed, naming tensor, field, found and expected.
absl::StatusOr<const PackedTensor*> TensorLike(std::string_view module,
                                               std::span<const PackedTensor> tensors,
                                               const PackedShape& expected);

// [groups, out] float16 from [out, groups]. Errors: kValidationFailed for a scale that is not
// finite or not exactly a float16.
absl::Status PackScales(std::string_view module, const Matrix& scales, PackedTensor& to);
// The way back, from float16 or bfloat16. Errors: kValidationFailed for a scale that is not finite.
absl::StatusOr<Matrix> UnpackScales(std::string_view module, const PackedTensor& from);

// [cols, rows] of [rows, cols].
std::vector<uint8_t> Transposed(std::span<const uint8_t> values, size_t rows, size_t cols);

}  // namespace quantized
