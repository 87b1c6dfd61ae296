#include "core/quantize/round_to_nearest.h"

#include <vector>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {

QuantizedTile RoundTile(const float* tile, size_t cols, size_t group_size,
                        const kernels::RangeRule& rule, const float* column_weights,
                        float* decoded) {
  QuantizedTile quantized(cols, cols / group_size);
  for (size_t group = 0; group < cols / group_size; ++group) {
    const size_t at = group * group_size * kTileRows;
    float* scale = quantized.scales.data() + group * kTileRows;
    float* zero = quantized.zeros.data() + group * kTileRows;
    kernels::ChooseRangeSimd(tile + at, group_size, kTileRows, column_weights + group * group_size,
                             rule, scale, zero);
    kernels::EncodeGroupSimd(tile + at, group_size, kTileRows, scale, zero, rule.bits,
                             quantized.codes.data() + at,
                             decoded == nullptr ? nullptr : decoded + at);
  }
  return quantized;
}

absl::StatusOr<QuantizedLinear> RoundToNearest(const Matrix& weight, const GridOptions& options,
                                               std::span<const float> column_weights,
                                               ThreadPool& threads) {
  RETURN_IF_ERROR(CheckWeight(weight, options));
  if (!column_weights.empty() && column_weights.size() != weight.cols) {
    return MakeError(
        Error::kInvalidArgument,
        StrCat("column weights: found ", column_weights.size(), ", expected ", weight.cols));
  }
  std::vector<float> weights(column_weights.begin(), column_weights.end());
  weights.resize(weight.cols, 1.0f);
  const size_t group_size = ResolvedGroupSize(options.group_size, weight.cols);
  const kernels::RangeRule rule = RuleOf(options);
  QuantizedLinear linear = EmptyLinear(weight.rows, weight.cols, group_size, options.bits);
  threads.ParallelFor(TileCount(weight.rows), [&](size_t tile) {
    const std::vector<float> values = LoadTile(weight, tile);
    StoreTile(RoundTile(values.data(), weight.cols, group_size, rule, weights.data(), nullptr),
              tile, linear);
  });
  return linear;
}

Matrix Decoded(const QuantizedLinear& linear) {
  Matrix decoded(linear.out, linear.in);
  linear.Dequantize(0, linear.out, decoded.values.data());
  return decoded;
}

Matrix Difference(const QuantizedLinear& linear, const Matrix& weight) {
  Matrix difference = Decoded(linear);
  for (size_t i = 0; i < difference.values.size(); ++i) {
    difference.values[i] -= weight.values[i];
  }
  return difference;
}

}  // namespace quantized
