// Quantized linears as GGUF blocks of 32 values, and the way back. Each type that fits stands for
// d * (q - offset) or d * q + m (docs/formats/gguf-types.md); a linear's is scale * (code - zero),
// so that d is its scale and codes are its codes, moved. Which types fit: docs/design/convert.md.
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/packed/quantized_linear.h"
#include "kernels/types/quant_type.h"

namespace quantized {

// How blocks of a type hold a linear.
enum class BlockFit {
  kExact,    // the same values
  kRounded,  // the same codes and scales; the minimum, -zero * scale, is rounded to float16
  kNone,
};

struct BlockFitting {
  BlockFit fit = BlockFit::kNone;
  std::string why;  // where it is not exact: "channels are in the order of their activations"
};

// The types that may hold a linear, smallest first.
std::span<const kernels::TypeId> BlockTypes();

// `grid` needs no codes: all that its bits allow count.
BlockFitting FitOf(const QuantizedLinear& grid, kernels::TypeId type);

// Rows [first_row, first_row + row_count) as blocks of `type`, to `out`: row_count times RowBytes.
// Precondition: FitOf is not kNone.
void WriteBlocks(const QuantizedLinear& linear, kernels::TypeId type, size_t first_row,
                 size_t row_count, std::byte* out);

// Whether codes of `bits` bits hold every block of `type` exactly.
bool CodesHold(kernels::TypeId type, int bits);

// The linear, in groups of 32, of `bits` bits, that `blocks`, [out, in] in rows, stand for.
// Precondition: CodesHold. Errors: kValidationFailed for a scale that is not finite.
absl::StatusOr<QuantizedLinear> ReadBlocks(std::string_view module, kernels::TypeId type,
                                           std::span<const std::byte> blocks, size_t out, size_t in,
                                           int bits);

// Whether blocks of `type` are d * q + m with codes q of 4 bits.
bool HasMinima(kernels::TypeId type);

// The nearest linear with the codes of such `blocks`, [out, in] in rows: in groups of 32, the zero
// point what is nearest to -m / d, the scale by least squares over the block's values, as a
// float16. Precondition: HasMinima. Errors: kValidationFailed for a scale or minimum that is not
// finite.
absl::StatusOr<QuantizedLinear> FitMinimumBlocks(std::string_view module, kernels::TypeId type,
                                                 std::span<const std::byte> blocks, size_t out,
                                                 size_t in);

}  // namespace quantized
