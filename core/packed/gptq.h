// Quantized linear layers in the form of GPTQ checkpoints. Format: docs/formats/gptq.md.
// Pure functions; any thread. The bytes depend on the arguments only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/packed/packed_tensor.h"
#include "core/packed/quantized_linear.h"

namespace quantized {

// What qzeros holds: the zero point less one (`checkpoint_format` "gptq"), or itself ("gptq_v2").
enum class GptqVersion { kV1, kV2 };

// qweight, qzeros, scales, g_idx: what PackGptq gives for such a layer. The sizes are those that
// CheckPackable accepts.
std::vector<PackedShape> GptqShapes(size_t out, size_t in, size_t group_size, int bits);

// In the order of GptqShapes. `module` goes into messages. Errors: those of CheckPackable and
// PackScales; kInvalidArgument for a zero point 0 in version 1, whose field wraps around and is
// read as 0 by some loaders, as 2^bits by others, and as a carry into its neighbour by a third
// kind.
absl::StatusOr<std::vector<PackedTensor>> PackGptq(std::string_view module,
                                                   const QuantizedLinear& linear,
                                                   GptqVersion version);

struct GptqForm {
  int bits = 4;
  int64_t group_size = 128;  // as the configuration has it; -1: a row is one group
  GptqVersion version = GptqVersion::kV1;
};

// From tensors of a file, which may hold anything: dtypes, shapes, sizes and groups are checked
// against each other and `form`. g_idx may be missing (channel i is in group i / group_size);
// where it says just that, group_of is left empty. Errors: kValidationFailed, naming tensor, field,
// found and expected; kUnsupportedConversion for a zero point that is ambiguous (see PackGptq).
absl::StatusOr<QuantizedLinear> UnpackGptq(std::string_view module,
                                           std::span<const PackedTensor> tensors,
                                           const GptqForm& form);
// The same without the codes: of qweight only the shape is looked at.
absl::StatusOr<QuantizedLinear> UnpackGptqGrid(std::string_view module,
                                               std::span<const PackedTensor> tensors,
                                               const GptqForm& form);

// The version that symmetric layers of `bits` bits have whose qzeros is `qzeros`: every field is
// 2^(bits-1) - 1 or every field is 2^(bits-1). Nothing where it is neither.
std::optional<GptqVersion> SymmetricVersion(const PackedTensor& qzeros, int bits);

}  // namespace quantized
