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

// What the search found, per lane. The codes are clamp(round(inverse * x)) + n, and 0 where not
// `active`: they are needed only where a scale becomes zero, so they are computed again there.
struct SymmetricResult {
  FloatVec scale, inverse;
  LaneMask active;
};

template <int kLevels, bool kWraps>
HWY_INLINE FloatVec SymmetricLevel(FloatVec v) {
  FloatVec l;
  if constexpr (kWraps) {
    l = hn::ConvertTo(Lanes(), NearestWrapped(v));
  } else {
    l = NearestSmall(v);
  }
  return hn::Max(hn::Min(l, SetAll(kLevels - 1)), SetAll(-kLevels));
}

struct VecSymmetricSums {
  FloatVec xl, l2;
};

// The weights of values that weigh as much as their squares.
template <size_t kValues>
HWY_INLINE void SquareRuns(const float* HWY_RESTRICT x, float* HWY_RESTRICT weights) {
  const Lanes d;
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i);
    hn::Store(hn::Mul(xi, xi), d, weights + i);
  }
}

// kCount candidates at once, which share the loads and hide each other's latency.
template <size_t kValues, int kLevels, bool kWraps, size_t kCount>
HWY_INLINE void SymmetricCandidates(const float* HWY_RESTRICT x, const float* HWY_RESTRICT w,
                                    const float* HWY_RESTRICT wx, const FloatVec (&inverse)[kCount],
                                    VecSymmetricSums (&sums)[kCount]) {
  const Lanes d;
  for (VecSymmetricSums& sum : sums) sum = {hn::Zero(d), hn::Zero(d)};
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i), wi = hn::Load(d, w + i), wxi = hn::Load(d, wx + i);
    for (size_t c = 0; c < kCount; ++c) {
      const FloatVec l = SymmetricLevel<kLevels, kWraps>(hn::Mul(inverse[c], xi));
      sums[c].xl = hn::Add(sums[c].xl, hn::Mul(wxi, l));
      sums[c].l2 = hn::Add(sums[c].l2, hn::Mul(hn::Mul(wi, l), l));
    }
  }
}

// `x` and `weights` as LoadRuns lays them out. kWraps: for values that may be infinite or NaN; for
// finite ones |inverse * x| is at most about kLevels + 1, so rounding needs no wrap.
template <size_t kValues, int kLevels, bool kWraps = false>
SymmetricResult SearchSymmetric(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights) {
  const Lanes d;
  const FloatVec zero = hn::Zero(d);
  HWY_ALIGN float wx[kValues * kLanes];
  FloatVec magnitude = zero, largest = zero;
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i);
    const LaneMask larger = hn::Gt(hn::Abs(xi), magnitude);
    magnitude = hn::IfThenElse(larger, hn::Abs(xi), magnitude);
    largest = hn::IfThenElse(larger, xi, largest);
    hn::Store(hn::Mul(hn::Load(d, weights + i), xi), d, wx + i);
  }
  // Lanes that stay below: scale and inverse 0.
  SymmetricResult result;
  result.active = hn::Not(hn::Lt(magnitude, SetAll(kSmallestMagnitude)));
  const auto inverse_of = [&](float k) HWY_ATTR {
    const float numerator = -(static_cast<float>(kLevels) + 0.1f * k);
    return hn::IfThenElseZero(result.active, hn::Div(SetAll(numerator), largest));
  };

  const FloatVec first_inverse[1] = {inverse_of(0)};
  VecSymmetricSums first[1];
  SymmetricCandidates<kValues, kLevels, kWraps>(x, weights, wx, first_inverse, first);
  result.inverse = first_inverse[0];
  const LaneMask weightless = hn::Eq(first[0].l2, zero);
  result.scale = hn::IfThenZeroElse(weightless, hn::Div(first[0].xl, first[0].l2));
  FloatVec best = hn::Mul(result.scale, first[0].xl);
  constexpr int kTogether = 3;
  for (int k = -9; k <= 9; k += kTogether) {
    if (k == 0) ++k;  // 0 was the first
    FloatVec inverse[kTogether];
    for (int c = 0; c < kTogether; ++c) inverse[c] = inverse_of(static_cast<float>(k + c));
    VecSymmetricSums sums[kTogether];
    SymmetricCandidates<kValues, kLevels, kWraps>(x, weights, wx, inverse, sums);
    for (int c = 0; c < kTogether; ++c) {
      const FloatVec xl = sums[c].xl, l2 = sums[c].l2;
      const LaneMask accept = hn::And(hn::Gt(l2, zero), hn::Gt(hn::Mul(xl, xl), hn::Mul(best, l2)));
      const FloatVec scale = hn::Div(xl, l2);
      result.scale = hn::IfThenElse(accept, scale, result.scale);
      result.inverse = hn::IfThenElse(accept, inverse[c], result.inverse);
      best = hn::IfThenElse(accept, hn::Mul(scale, xl), best);
    }
  }
  result.scale = hn::IfThenElseZero(result.active, result.scale);
  return result;
}

// codes[i * kLanes + b]: the code of value i of lane b.
template <size_t kValues, int kLevels>
HWY_INLINE void StoreSymmetricCodes(const float* HWY_RESTRICT x, const SymmetricResult& found,
                                    uint8_t* HWY_RESTRICT codes) {
  const Lanes d;
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec l =
        SymmetricLevel<kLevels, /*kWraps=*/true>(hn::Mul(found.inverse, hn::Load(d, x + i)));
    const FloatVec code = hn::IfThenElseZero(found.active, hn::Add(l, SetAll(kLevels)));
    StoreBytes(Truncate(code), codes + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_SYMMETRIC_INL_H_
