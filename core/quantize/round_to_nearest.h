// Round-to-nearest: each weight gets the code nearest to it, whatever its neighbours do. The
// plainest of the methods, and the last step of the others where there is nothing to calibrate
// with.
#pragma once

#include <span>

#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/packed/quantized_linear.h"
#include "core/quantize/group_range.h"
#include "core/quantize/row_tile.h"
#include "core/tensor/matrix.h"

namespace quantized {

// Scales, zero points and codes of a tile [cols, kTileRows]; `column_weights` [cols] for the
// search. `decoded` [cols, kTileRows]: what the codes stand for; not the tile itself; may be null.
QuantizedTile RoundTile(const float* tile, size_t cols, size_t group_size,
                        const kernels::RangeRule& rule, const float* column_weights,
                        float* decoded);

// `column_weights`, what weighs the error of each column in a range search: [weight.cols] of them
// >= 0, or none: each 1. Errors: those of CheckWeight; kInvalidArgument for another number of them.
absl::StatusOr<QuantizedLinear> RoundToNearest(const Matrix& weight, const GridOptions& options,
                                               std::span<const float> column_weights,
                                               ThreadPool& threads);

// (code - zero) * scale for every element: [out, in].
Matrix Decoded(const QuantizedLinear& linear);
// Decoded(linear) - weight, of the same size.
Matrix Difference(const QuantizedLinear& linear, const Matrix& weight);

}  // namespace quantized
