#include "kernels/group_range/group_range.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/group_range/group_range_simd.cc"
#include <cmath>
#include <limits>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/group_range/affine_code-inl.h"
#include "kernels/lanes/half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Which of two is kept follows SmallerOf and LargerOf of kernels/types/rounding.h.
HWY_INLINE FloatVec SmallerLanes(FloatVec running, FloatVec v) {
  return hn::IfThenElse(hn::Lt(v, running), v, running);
}
HWY_INLINE FloatVec LargerLanes(FloatVec running, FloatVec v) {
  return hn::IfThenElse(hn::Gt(v, running), v, running);
}

HWY_INLINE FloatVec StorableLanes(FloatVec scale) {
  return LanesBetween(F16ToF32(F32ToF16(scale)), SetAll(kSmallestScale), SetAll(kLargestScale));
}

struct Grid {
  FloatVec scale, zero;
};

// ScaleAndZeroOf for each lane.
HWY_INLINE Grid GridOf(FloatVec low, FloatVec high, const RangeRule& rule) {
  const FloatVec none = hn::Zero(Lanes());
  const FloatVec max_code = SetAll(MaxCode(rule.bits));
  if (rule.form == RangeForm::kSymmetric) {
    const FloatVec magnitude = LargerLanes(hn::Neg(low), high);
    const FloatVec half_range = hn::IfThenElse(hn::Eq(magnitude, none), SetAll(1), magnitude);
    return {StorableLanes(hn::Div(hn::Mul(SetAll(2), half_range), max_code)),
            SetAll(static_cast<float>(1 << (rule.bits - 1)))};
  }
  FloatVec range;
  if (rule.form == RangeForm::kWithZero) {
    low = SmallerLanes(none, low);
    high = LargerLanes(none, high);
    const LaneMask empty = hn::And(hn::Eq(low, none), hn::Eq(high, none));
    low = hn::IfThenElse(empty, SetAll(-1), low);
    high = hn::IfThenElse(empty, SetAll(1), high);
    range = hn::Sub(high, low);
  } else {
    range = LargerLanes(SetAll(1e-5f), hn::Sub(high, low));
  }
  const FloatVec scale = StorableLanes(hn::Div(range, max_code));
  const FloatVec zero = NearestSmall(LanesBetween(hn::Div(hn::Neg(low), scale), none, max_code));
  if (!rule.positive_zero_point) return {scale, zero};
  const LaneMask positive = hn::Gt(zero, none);
  const FloatVec above_zero = StorableLanes(hn::Div(high, SetAll(MaxCode(rule.bits) - 1)));
  return {hn::IfThenElse(positive, scale, above_zero), hn::IfThenElse(positive, zero, SetAll(1))};
}

// |v|^exponent, lane by lane through the library: its rounding is what the plain form has.
HWY_INLINE FloatVec PowerLanes(FloatVec v, float exponent) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(hn::Abs(v), Lanes(), lanes);
  for (float& lane : lanes) lane = std::pow(lane, exponent);
  return hn::Load(Lanes(), lanes);
}

template <bool kSquare>
HWY_INLINE FloatVec WeighedErrors(const float* HWY_RESTRICT x, size_t count, size_t rows,
                                  const float* HWY_RESTRICT weights, const Grid& grid,
                                  const RangeRule& rule) {
  const FloatVec none = hn::Zero(Lanes());
  const FloatVec inverse = hn::Div(SetAll(1), grid.scale);
  const FloatVec max_code = SetAll(MaxCode(rule.bits));
  FloatVec sum = none;
  for (size_t i = 0; i < count; ++i) {
    const FloatVec place = hn::Add(hn::Mul(hn::LoadU(Lanes(), x + i * rows), inverse), grid.zero);
    const FloatVec error = hn::Sub(place, NearestSmall(LanesBetween(place, none, max_code)));
    const FloatVec power = kSquare ? hn::Mul(error, error) : PowerLanes(error, rule.exponent);
    sum = hn::Add(sum, hn::Mul(power, SetAll(weights[i])));
  }
  const FloatVec unit =
      kSquare ? hn::Mul(grid.scale, grid.scale) : PowerLanes(grid.scale, rule.exponent);
  return hn::Mul(sum, unit);
}

template <bool kSquare>
HWY_INLINE Grid ChooseGrid(const float* HWY_RESTRICT x, size_t count, size_t rows,
                           const float* HWY_RESTRICT weights, const RangeRule& rule) {
  FloatVec low = SetAll(std::numeric_limits<float>::infinity()), high = hn::Neg(low);
  for (size_t i = 0; i < count; ++i) {
    const FloatVec v = hn::LoadU(Lanes(), x + i * rows);
    low = SmallerLanes(low, v);
    high = LargerLanes(high, v);
  }
  Grid best = GridOf(low, high, rule);
  if (rule.steps == 0) return best;
  FloatVec least = WeighedErrors<kSquare>(x, count, rows, weights, best, rule);
  for (int step = 1; step <= rule.steps; ++step) {
    const FloatVec size = SetAll(RangeSize(rule, step));
    const Grid candidate = GridOf(hn::Mul(low, size), hn::Mul(high, size), rule);
    const FloatVec error = WeighedErrors<kSquare>(x, count, rows, weights, candidate, rule);
    const LaneMask better = hn::Lt(error, least);
    least = hn::IfThenElse(better, error, least);
    best.scale = hn::IfThenElse(better, candidate.scale, best.scale);
    best.zero = hn::IfThenElse(better, candidate.zero, best.zero);
  }
  return best;
}

void ChooseRange(const float* HWY_RESTRICT values, size_t count, size_t rows,
                 const float* HWY_RESTRICT weights, const RangeRule& rule,
                 float* HWY_RESTRICT scale, float* HWY_RESTRICT zero) {
  for (size_t row = 0; row < rows; row += kLanes) {
    const Grid chosen = rule.exponent == 2
                            ? ChooseGrid<true>(values + row, count, rows, weights, rule)
                            : ChooseGrid<false>(values + row, count, rows, weights, rule);
    hn::StoreU(chosen.scale, Lanes(), scale + row);
    hn::StoreU(chosen.zero, Lanes(), zero + row);
  }
}

void EncodeGroup(const float* HWY_RESTRICT values, size_t count, size_t rows,
                 const float* HWY_RESTRICT scale, const float* HWY_RESTRICT zero, int bits,
                 uint8_t* HWY_RESTRICT codes, float* HWY_RESTRICT decoded) {
  const FloatVec max_code = SetAll(MaxCode(bits));
  for (size_t row = 0; row < rows; row += kLanes) {
    const FloatVec s = hn::LoadU(Lanes(), scale + row);
    const FloatVec z = hn::LoadU(Lanes(), zero + row);
    for (size_t at = row; at < count * rows; at += rows) {
      const FloatVec code = CodeLanes(hn::LoadU(Lanes(), values + at), s, z, max_code);
      StoreBytes(Truncate(code), codes + at);
      if (decoded != nullptr) hn::StoreU(hn::Mul(hn::Sub(code, z), s), Lanes(), decoded + at);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(ChooseRange);
HWY_EXPORT(EncodeGroup);

void ChooseRangeSimd(const float* values, size_t count, size_t rows, const float* weights,
                     const RangeRule& rule, float* scale, float* zero) {
  HWY_DYNAMIC_DISPATCH(ChooseRange)(values, count, rows, weights, rule, scale, zero);
}

void EncodeGroupSimd(const float* values, size_t count, size_t rows, const float* scale,
                     const float* zero, int bits, uint8_t* codes, float* decoded) {
  HWY_DYNAMIC_DISPATCH(EncodeGroup)(values, count, rows, scale, zero, bits, codes, decoded);
}

}  // namespace quantized::kernels
#endif
