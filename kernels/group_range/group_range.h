// The scale and zero point of groups of weights that are quantized to an affine grid, and the codes
// for a scale and zero point. Formulas: docs/design/gptq.md, "Scale and zero point".
//
// Layout: values[count, rows], the values of one group in each of `rows` rows of a weight, value by
// value: the rows lie beside each other, so that a lane is a row. `rows` is a multiple of 16.
// Scales are finite and positive f16 numbers, zero points whole numbers in 0 … 2^bits - 1.
//
// Exact: both forms give the same bits for every float, NaN and infinities included; what is not
// finite gives some scale and some code of their ranges. Sums run from the first value to the last.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/group_range/affine_code.h"
#include "kernels/types/half.h"

namespace quantized::kernels {

enum class RangeForm : uint8_t {
  kSymmetric,  // -a … a, zero point in the middle: a is the largest magnitude
  kWithZero,   // smallest … largest value, and 0
  kSpan,  // smallest … largest value, as AWQ's tools take it: values of one sign that are far
          // from 0 are out of reach
};

struct RangeRule {
  RangeForm form = RangeForm::kSymmetric;
  int bits = 4;                      // 2 … 8
  bool positive_zero_point = false;  // zero points from 1 on
  // The range is tried at 1 - shrink * i / steps of its size for i = 0 … steps; the first of the
  // candidates with the least sum of weight * |error|^exponent is taken. 0: as it is.
  int steps = 0;
  float shrink = 0.5f;
  float exponent = 2;
};

inline constexpr float kSmallestScale = 0x1p-24f;
inline constexpr float kLargestScale = 65504;

inline float MaxCode(int bits) { return static_cast<float>((1 << bits) - 1); }

// The size of candidate `step`, from 1 down.
inline float RangeSize(const RangeRule& rule, int step) {
  if (step == 0) return 1;
  return static_cast<float>(1.0 - static_cast<double>(rule.shrink) * step / rule.steps);
}

// As the nearest f16 that is neither 0 nor infinite.
inline float StorableScale(float scale) {
  return Between(F16ToF32(F32ToF16(scale)), kSmallestScale, kLargestScale);
}

struct ScaleAndZero {
  float scale, zero;
};

// For values from `low` to `high`.
inline ScaleAndZero ScaleAndZeroOf(float low, float high, const RangeRule& rule) {
  const float max_code = MaxCode(rule.bits);
  if (rule.form == RangeForm::kSymmetric) {
    const float magnitude = LargerOf(-low, high);
    const float half_range = magnitude == 0 ? 1 : magnitude;
    return {StorableScale(2 * half_range / max_code), static_cast<float>(1 << (rule.bits - 1))};
  }
  float range;
  if (rule.form == RangeForm::kWithZero) {
    low = SmallerOf(0, low);
    high = LargerOf(0, high);
    const bool empty = low == 0 && high == 0;
    low = empty ? -1 : low;
    high = empty ? 1 : high;
    range = high - low;
  } else {
    range = LargerOf(1e-5f, high - low);
  }
  const float scale = StorableScale(range / max_code);
  const float zero = NearestSmall(Between(-low / scale, 0, max_code));
  if (zero > 0 || !rule.positive_zero_point) return {scale, zero};
  // Less than half a step lies below 0: the codes from 1 on hold the range.
  return {StorableScale(high / (max_code - 1)), 1};
}

// scale[rows] and zero[rows]; weights[count] >= 0 are read where rule.steps > 0.
void ChooseRangeRef(const float* values, size_t count, size_t rows, const float* weights,
                    const RangeRule& rule, float* scale, float* zero);
void ChooseRangeSimd(const float* values, size_t count, size_t rows, const float* weights,
                     const RangeRule& rule, float* scale, float* zero);

// codes[count, rows] and, where `decoded` is not null, the values that they stand for.
void EncodeGroupRef(const float* values, size_t count, size_t rows, const float* scale,
                    const float* zero, int bits, uint8_t* codes, float* decoded);
void EncodeGroupSimd(const float* values, size_t count, size_t rows, const float* scale,
                     const float* zero, int bits, uint8_t* codes, float* decoded);

}  // namespace quantized::kernels
