// AWQ's search for clip limits (arXiv 2306.00978 and its code): for each row and group the limit of
// |w| with which the group's part of the output changes least, and the rounding with such limits.
// docs/design/awq.md, "Clipping".
//
// The number of threads does not show in a result; the last bits depend on the processor.
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/packed/quantized_linear.h"
#include "core/tensor/matrix.h"

namespace quantized {

struct AwqClipOptions {
  int bits = 4;
  size_t group_size = 128;  // divides the columns; 0: a row is one group
  // Limits are tried at 1 - i / grid of the largest |w|, i = 0 … max_shrink * grid - 1.
  int grid = 20;
  double max_shrink = 0.5;
  bool awq_range = false;  // AWQ's range, which need not contain 0
};

struct AwqClip {
  Matrix limits;  // [out, groups], >= 0; empty: none
  // Sum over rows and groups of d·H_gg·dᵀ with the limits, and without any.
  double loss = 0, unclipped_loss = 0;
};

// `weight` [out, in]; of `gram` [in, in], mean of x·xᵀ, the squares of the groups are read, upper
// triangles. Errors: kValidationFailed for what is NaN or infinite; kInvalidArgument for sizes and
// options that do not fit.
absl::StatusOr<AwqClip> SearchAwqClip(const Matrix& weight, const Matrix& gram,
                                      const AwqClipOptions& options, ThreadPool& threads);

// Elements of a group beyond its limit become the limit, with their sign.
void ClipTo(const Matrix& limits, size_t group_size, Matrix& weight);

// Clips (where clip.limits is not empty) and rounds to nearest, asymmetrically. Errors: as above.
absl::StatusOr<QuantizedLinear> AwqRound(const Matrix& weight, const AwqClip& clip,
                                         const AwqClipOptions& options, ThreadPool& threads);

}  // namespace quantized
