// Quantized linear layers in the form of AWQ checkpoints of the GEMM kind: 4 bits, any zero point,
// groups of neighbouring channels. Format: docs/formats/awq.md.
// Pure functions; any thread. The bytes depend on the arguments only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/packed/packed_tensor.h"
#include "core/packed/quantized_linear.h"

namespace quantized {

// qweight, qzeros, scales: what PackAwq gives for such a layer. The sizes are those that
// CheckPackable accepts.
std::vector<PackedShape> AwqShapes(size_t out, size_t in, size_t group_size);

// In the order of AwqShapes. `module` goes into messages. Errors: those of CheckPackable and
// PackScales; kInvalidArgument for other than 4 bits or for groups that are not of neighbours.
absl::StatusOr<std::vector<PackedTensor>> PackAwq(std::string_view module,
                                                  const QuantizedLinear& linear);

// From tensors of a file, which may hold anything. `group_size` is as the configuration has it,
// -1: a row is one group. Errors: kValidationFailed, naming tensor, field, found and expected.
absl::StatusOr<QuantizedLinear> UnpackAwq(std::string_view module,
                                          std::span<const PackedTensor> tensors,
                                          int64_t group_size);
// The same without the codes: of qweight only the shape is looked at.
absl::StatusOr<QuantizedLinear> UnpackAwqGrid(std::string_view module,
                                              std::span<const PackedTensor> tensors,
                                              int64_t group_size);

}  // namespace quantized
