#include <cmath>
#include <limits>

#include "kernels/group_range/group_range.h"

namespace quantized::kernels {
namespace {

// The values of one row.
struct Column {
  const float* values;
  size_t count, stride;

  float operator[](size_t i) const { return values[i * stride]; }
};

// Sum of weight * |error|^exponent. The error is counted in steps of the grid, and scaled once.
float WeighedError(const Column& x, const float* weights, const ScaleAndZero& grid,
                   const RangeRule& rule) {
  const float inverse = 1 / grid.scale;
  const float max_code = MaxCode(rule.bits);
  float sum = 0;
  for (size_t i = 0; i < x.count; ++i) {
    const float place = x[i] * inverse + grid.zero;
    const float error = place - NearestSmall(Between(place, 0, max_code));
    const float power =
        rule.exponent == 2 ? error * error : std::pow(std::fabs(error), rule.exponent);
    sum += power * weights[i];
  }
  const float unit =
      rule.exponent == 2 ? grid.scale * grid.scale : std::pow(grid.scale, rule.exponent);
  return sum * unit;
}

ScaleAndZero ChooseRange(const Column& x, const float* weights, const RangeRule& rule) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (size_t i = 0; i < x.count; ++i) {
    low = SmallerOf(low, x[i]);
    high = LargerOf(high, x[i]);
  }
  ScaleAndZero best = ScaleAndZeroOf(low, high, rule);
  if (rule.steps == 0) return best;
  float least = WeighedError(x, weights, best, rule);
  for (int step = 1; step <= rule.steps; ++step) {
    const float size = RangeSize(rule, step);
    const ScaleAndZero candidate = ScaleAndZeroOf(low * size, high * size, rule);
    const float error = WeighedError(x, weights, candidate, rule);
    if (error < least) {
      least = error;
      best = candidate;
    }
  }
  return best;
}

}  // namespace

void ChooseRangeRef(const float* values, size_t count, size_t rows, const float* weights,
                    const RangeRule& rule, float* scale, float* zero) {
  for (size_t row = 0; row < rows; ++row) {
    const ScaleAndZero chosen = ChooseRange({values + row, count, rows}, weights, rule);
    scale[row] = chosen.scale;
    zero[row] = chosen.zero;
  }
}

void EncodeGroupRef(const float* values, size_t count, size_t rows, const float* scale,
                    const float* zero, int bits, uint8_t* codes, float* decoded) {
  for (size_t i = 0; i < count; ++i) {
    for (size_t row = 0; row < rows; ++row) {
      const size_t at = i * rows + row;
      const float code = CodeOf(values[at], scale[row], zero[row], MaxCode(bits));
      codes[at] = static_cast<uint8_t>(code);
      if (decoded != nullptr) decoded[at] = (code - zero[row]) * scale[row];
    }
  }
}

}  // namespace quantized::kernels
