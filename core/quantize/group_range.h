// What the calibrated algorithms share about the grids that they quantize to: which of them there
// are, and the checks of their arguments. Formulas: docs/design/gptq.md, "Scale and zero point".
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "core/tensor/matrix.h"
#include "kernels/group_range/group_range.h"

namespace quantized {

// How the range of a group is chosen: as it is, or shrunk so far that the sum of weighed errors is
// least. What weighs the error of an input column:
enum class RangeSearch {
  kNone,             // no search
  kPlain,            // nothing
  kHessianDiagonal,  // H_ii, the column's mean square
  kInverseDiagonal,  // 1 / U_ii², what GPTQ pays for it
};

struct GridOptions {
  int bits = 4;           // 2, 3, 4 or 8
  size_t group_size = 0;  // divides the columns; 0: a row is one group
  kernels::RangeForm form = kernels::RangeForm::kSymmetric;
  bool avoid_zero_point_zero = false;  // zero points from 1 on, for files that hold zero - 1
  RangeSearch search = RangeSearch::kNone;
  double search_exponent = 2;
  int search_steps = 20;  // between the whole range and search_shrink less
  double search_shrink = 0.5;
};

// 0 becomes `cols`.
size_t ResolvedGroupSize(size_t group_size, size_t cols);

kernels::RangeRule RuleOf(const GridOptions& options);

// kInvalidArgument for bits, group sizes and searches that there are not.
absl::Status CheckGrid(const GridOptions& options, size_t cols);

// kValidationFailed where an element is NaN or infinite, naming the first; kInvalidArgument where
// there is none, or `options` do not fit.
absl::Status CheckWeight(const Matrix& weight, const GridOptions& options);

// kInvalidArgument where `gram` is not [cols, cols].
absl::Status CheckGramShape(const Matrix& gram, size_t cols);

// kValidationFailed where the upper triangle holds a NaN or an infinity, naming the first.
absl::Status CheckGramFinite(const Matrix& gram);

}  // namespace quantized
