// What GPTQ makes of the gram matrix of a linear's inputs before it looks at the weight: the order
// of columns and the triangular factor of the damped inverse. Linears that share their inputs (q, k
// and v; gate and up) share it. docs/design/gptq.md, "Damping".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/quantize/column_order.h"
#include "core/quantize/group_range.h"
#include "core/tensor/matrix.h"

namespace quantized {

struct GptqFactorOptions {
  size_t group_size = 128;  // 0: a row is one group
  ColumnOrder order = ColumnOrder::kGroupAware;
  double damping = 0.01;  // of the mean of the diagonal, added to the diagonal
  RangeSearch search = RangeSearch::kHessianDiagonal;
};

struct GptqFactor {
  // U in the order of columns, Uᵀ·U = inverse(H + added), zeros below the diagonal. Empty where the
  // matrix cannot be factorized: what is left is rounding to nearest.
  Matrix upper;
  std::vector<uint32_t> order;       // order[position] = column
  std::vector<float> added;          // [in], by column: what was added to the diagonal of H
  std::vector<bool> dead;            // [in]: the column's input was 0 throughout
  std::vector<float> range_weights;  // [in], by column: what weighs an error in the range search
  double damping_used = 0;
  std::vector<std::string> notes;  // what was done beyond the usual
};

// `gram`: mean of x·xᵀ over the inputs x, [in, in], upper triangle read. Any content gives a
// factor: one that is not positive definite is damped further, one that is not finite leaves
// `upper` empty. Errors: kInvalidArgument for options that do not fit.
absl::StatusOr<GptqFactor> MakeGptqFactor(const Matrix& gram, const GptqFactorOptions& options);

// The most that it holds at once beside the gram matrix of so many columns.
uint64_t FactorMemoryBytes(uint64_t cols);

}  // namespace quantized
