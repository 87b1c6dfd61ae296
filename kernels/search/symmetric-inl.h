// The symmetric search (kernels/search/symmetric.h) with one sub-block per lane.

#if defined(QUANTIZED_KERNELS_SEARCH_SYMMETRIC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_SEARCH_SYMMETRIC_INL_H_
#undef QUANTIZED_KERNELS_SEARCH_SYMMETRIC_INL_H_
#else
#define QUANTIZED_KERNELS_SEARCH_SYMMETRIC_INL_H_
#endif

#include "kernels/lanes/lanes-inl.h"
#include "kernels/search/symmetric.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// What the search found, per lane. The codes are clamp(round(inverse * x)) + n, and 0 where
// `inverse` is 0: they are needed only where a scale becomes zero, so they are computed again
// there.
struct SymmetricResult {
  FloatVec scale, inverse;
};

// `x` as LoadRuns lays it out.
template <size_t kValues, int kLevels>
SymmetricResult SearchSymmetric(const float* HWY_RESTRICT x) {
  const Lanes d;
  const FloatVec zero = hn::Zero(d);
  FloatVec magnitude = zero, largest = zero;
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i);
    const LaneMask larger = hn::Gt(hn::Abs(xi), magnitude);
    magnitude = hn::IfThenElse(larger, hn::Abs(xi), magnitude);
    largest = hn::IfThenElse(larger, xi, largest);
  }
  // Lanes that stay below: scale and inverse 0.
  const LaneMask active = hn::Not(hn::Lt(magnitude, SetAll(kSmallestMagnitude)));

  // w and w x of every value, which all candidates need. |inverse * x| is at most about kLevels +
  // 1, so rounding needs no wrap.
  HWY_ALIGN float w[kValues * kLanes], wx[kValues * kLanes];
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i);
    const FloatVec wi = hn::Mul(xi, xi);
    hn::Store(wi, d, w + i);
    hn::Store(hn::Mul(wi, xi), d, wx + i);
  }
  struct Sums {
    FloatVec xl, l2;
  };
  const auto candidate = [&](FloatVec inverse) HWY_ATTR -> Sums {
    const FloatVec low = SetAll(-kLevels), high = SetAll(kLevels - 1);
    Sums sums = {zero, zero};
    for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
      const FloatVec l =
          hn::Max(hn::Min(NearestSmall(hn::Mul(inverse, hn::Load(d, x + i))), high), low);
      sums.xl = hn::Add(sums.xl, hn::Mul(hn::Load(d, wx + i), l));
      sums.l2 = hn::Add(sums.l2, hn::Mul(hn::Mul(hn::Load(d, w + i), l), l));
    }
    return sums;
  };

  SymmetricResult result;
  result.inverse = hn::IfThenElseZero(active, hn::Div(SetAll(-kLevels), largest));
  const Sums first = candidate(result.inverse);
  result.scale = hn::IfThenElseZero(hn::Ne(first.l2, zero), hn::Div(first.xl, first.l2));
  FloatVec best = hn::Mul(result.scale, first.xl);
  for (int k = -9; k <= 9; ++k) {
    if (k == 0) continue;
    const float numerator = -(static_cast<float>(kLevels) + 0.1f * static_cast<float>(k));
    const FloatVec inverse = hn::IfThenElseZero(active, hn::Div(SetAll(numerator), largest));
    const Sums sums = candidate(inverse);
    const LaneMask accept =
        hn::And(hn::Gt(sums.l2, zero), hn::Gt(hn::Mul(sums.xl, sums.xl), hn::Mul(best, sums.l2)));
    const FloatVec scale = hn::Div(sums.xl, sums.l2);
    result.scale = hn::IfThenElse(accept, scale, result.scale);
    result.inverse = hn::IfThenElse(accept, inverse, result.inverse);
    best = hn::IfThenElse(accept, hn::Mul(scale, sums.xl), best);
  }
  result.scale = hn::IfThenElseZero(active, result.scale);
  return result;
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_SYMMETRIC_INL_H_
