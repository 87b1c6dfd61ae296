// GPTQ (Frantar et al., arXiv 2210.17323): quantizes a linear's weight column by column and lets
// the columns that are still to come make good the error of each, so that the layer's output, not
// the weight, changes least. docs/design/gptq.md.
//
// Pure functions of their arguments: the number of threads does not show in a result. The last bits
// depend on the processor (kernels/blas).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/packed/quantized_linear.h"
#include "core/quantize/column_order.h"
#include "core/quantize/gptq_factor.h"
#include "core/quantize/gptq_refine.h"
#include "core/quantize/group_range.h"
#include "core/tensor/matrix.h"

namespace quantized {

struct GptqOptions {
  int bits = 4;             // 2, 3, 4 or 8
  size_t group_size = 128;  // divides the columns; 0: a row is one group
  bool symmetric = true;
  ColumnOrder order = ColumnOrder::kGroupAware;
  double damping = 0.01;
  RangeSearch search = RangeSearch::kHessianDiagonal;
  double search_exponent = 2;
  int search_steps = 20;       // between the whole range and search_shrink less
  double search_shrink = 0.5;  // below 1
  // Asymmetric: zero points from 1 on, for files that hold zero - 1 (GPTQ's first format).
  bool avoid_zero_point_zero = false;
  bool awq_range = false;  // asymmetric: AWQ's range, which need not contain 0
  RefineOptions refine = {.passes = 4, .refit_scales = true};
};

// All of them in one line: what two equal ones have in common, and no others.
std::string Describe(const GptqOptions& options);

struct GptqResult {
  QuantizedLinear linear;
  double loss = 0;  // sum of e² / 2 over all errors e, with the damped matrix
  // tr(D·H·Dᵀ) / tr(W·H·Wᵀ) with D the change of the weight W; 0 where nothing comes out of the
  // layer. Where the gram matrix is not finite, that of the unit matrix.
  double relative_error = 0;
  double damping_used = 0;
  std::vector<std::string> notes;  // what was done beyond the usual
  bool fell_back_to_rounding = false;
};

// The parts of `options` that a factor depends on.
GptqFactorOptions FactorOptions(const GptqOptions& options);

// `weight` [out, in]; `gram` [in, in]: mean of x·xᵀ over the layer's inputs x, upper triangle read.
// No gram matrix makes it fail: what cannot be factorized is rounded to nearest, and says so.
// Errors: kValidationFailed for a weight that is NaN or infinite; kInvalidArgument for sizes and
// options that do not fit.
absl::StatusOr<GptqResult> Gptq(const Matrix& weight, const Matrix& gram,
                                const GptqOptions& options, ThreadPool& threads);

// The same with the factor made once, by MakeGptqFactor(gram, FactorOptions(options)).
absl::StatusOr<GptqResult> Gptq(const Matrix& weight, const Matrix& gram, const GptqFactor& factor,
                                const GptqOptions& options, ThreadPool& threads);

// The most that each thread holds at once while a weight of so many columns is quantized.
uint64_t GptqTileMemoryBytes(uint64_t cols);

}  // namespace quantized
