// The affine search (kernels/search/affine.h) with one sub-block per lane.

#if defined(QUANTIZED_KERNELS_SEARCH_AFFINE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_SEARCH_AFFINE_INL_H_
#undef QUANTIZED_KERNELS_SEARCH_AFFINE_INL_H_
#else
#define QUANTIZED_KERNELS_SEARCH_AFFINE_INL_H_
#endif

#include "kernels/lanes/lanes-inl.h"
#include "kernels/search/affine.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// What the search found, per lane. The codes are clamp(round(inverse * (x - start))): they are
// needed only where a scale becomes zero, so they are computed again there.
struct AffineResult {
  FloatVec scale, min;  // of AffineFit
  FloatVec inverse, start;
};

struct AffineSums {
  FloatVec l, l2, xl;
};

// The codes of one candidate as floats, and their sums. kWraps: the products may be 2^22 and more,
// so that rounding wraps around.
template <size_t kValues, int kMaxCode, bool kWraps>
HWY_INLINE AffineSums AffineCandidate(const float* HWY_RESTRICT x,
                                      const float* HWY_RESTRICT weights, FloatVec inverse,
                                      FloatVec start, float* HWY_RESTRICT codes) {
  const Lanes d;
  const FloatVec zero = hn::Zero(d), max_code = SetAll(kMaxCode);
  AffineSums sums = {zero, zero, zero};
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i);
    const FloatVec scaled = hn::Mul(inverse, hn::Sub(xi, start));
    FloatVec l;
    if constexpr (kWraps) {
      l = hn::ConvertTo(d, NearestWrapped(scaled));
    } else {
      l = NearestSmall(scaled);
    }
    l = hn::Min(hn::Max(l, zero), max_code);
    hn::Store(l, d, codes + i);
    const FloatVec wl = hn::Mul(hn::Load(d, weights + i), l);
    sums.l = hn::Add(sums.l, wl);
    sums.l2 = hn::Add(sums.l2, hn::Mul(wl, l));
    sums.xl = hn::Add(sums.xl, hn::Mul(wl, xi));
  }
  return sums;
}

template <size_t kValues, bool kAbsolute>
HWY_INLINE FloatVec AffineError(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights,
                                const float* HWY_RESTRICT codes, FloatVec scale, FloatVec min) {
  const Lanes d;
  FloatVec error = hn::Zero(d);
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec difference =
        hn::Sub(hn::Add(hn::Mul(scale, hn::Load(d, codes + i)), min), hn::Load(d, x + i));
    const FloatVec distance = kAbsolute ? hn::Abs(difference) : hn::Mul(difference, difference);
    error = hn::Add(error, hn::Mul(hn::Load(d, weights + i), distance));
  }
  return error;
}

// `x` and `weights` as LoadRuns lays them out.
template <size_t kValues, int kMaxCode, bool kAbsolute>
AffineResult SearchAffine(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights,
                          const AffineGrid& grid) {
  const Lanes d;
  const FloatVec zero = hn::Zero(d);
  FloatVec smallest = hn::Load(d, x), max = smallest;
  FloatVec sum_w = hn::Load(d, weights);
  FloatVec sum_x = hn::Mul(sum_w, smallest);
  for (size_t i = kLanes; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i), wi = hn::Load(d, weights + i);
    smallest = hn::IfThenElse(hn::Lt(xi, smallest), xi, smallest);
    max = hn::IfThenElse(hn::Gt(xi, max), xi, max);
    sum_w = hn::Add(sum_w, wi);
    sum_x = hn::Add(sum_x, hn::Mul(wi, xi));
  }
  FloatVec min = hn::IfThenElse(hn::Gt(smallest, zero), zero, smallest);
  // A lane without spread keeps inverse 0 throughout: codes 0, nothing to accept.
  const LaneMask spread = hn::Ne(max, min);
  AffineResult best = {zero, min, zero, min};
  FloatVec best_error = zero;
  HWY_ALIGN float codes[kValues * kLanes];

  const auto try_inverse = [&](FloatVec inverse) HWY_ATTR {
    // Rounding is monotonic: if the ends stay below 2^22, so does everything between them.
    const FloatVec reach = hn::Mul(
        hn::Abs(inverse), hn::Max(hn::Abs(hn::Sub(max, min)), hn::Abs(hn::Sub(smallest, min))));
    return hn::AllTrue(d, hn::Lt(reach, SetAll(4194304.0f)))
               ? AffineCandidate<kValues, kMaxCode, false>(x, weights, inverse, min, codes)
               : AffineCandidate<kValues, kMaxCode, true>(x, weights, inverse, min, codes);
  };

  best.inverse = hn::IfThenElseZero(spread, hn::Div(SetAll(kMaxCode), hn::Sub(max, min)));
  best.scale = hn::Div(SetAll(1.0f), best.inverse);
  try_inverse(best.inverse);
  best_error = AffineError<kValues, kAbsolute>(x, weights, codes, best.scale, min);

  for (int k = 0; k <= grid.steps; ++k) {
    const float numerator =
        grid.first + grid.step * static_cast<float>(k) + static_cast<float>(kMaxCode);
    const FloatVec inverse =
        hn::IfThenElseZero(spread, hn::Div(SetAll(numerator), hn::Sub(max, min)));
    const AffineSums sums = try_inverse(inverse);
    const FloatVec determinant = hn::Sub(hn::Mul(sum_w, sums.l2), hn::Mul(sums.l, sums.l));
    FloatVec new_scale =
        hn::Div(hn::Sub(hn::Mul(sum_w, sums.xl), hn::Mul(sum_x, sums.l)), determinant);
    FloatVec new_min =
        hn::Div(hn::Sub(hn::Mul(sums.l2, sum_x), hn::Mul(sums.l, sums.xl)), determinant);
    const LaneMask above = hn::Gt(new_min, zero);
    new_min = hn::IfThenElse(above, zero, new_min);
    new_scale = hn::IfThenElse(above, hn::Div(sums.xl, sums.l2), new_scale);
    const FloatVec error = AffineError<kValues, kAbsolute>(x, weights, codes, new_scale, new_min);
    const LaneMask accept = hn::And(hn::Gt(determinant, zero), hn::Lt(error, best_error));
    best_error = hn::IfThenElse(accept, error, best_error);
    best.scale = hn::IfThenElse(accept, new_scale, best.scale);
    best.inverse = hn::IfThenElse(accept, inverse, best.inverse);
    best.start = hn::IfThenElse(accept, min, best.start);
    min = hn::IfThenElse(accept, new_min, min);
  }
  best.scale = hn::IfThenElseZero(spread, best.scale);
  best.min = hn::Neg(min);
  return best;
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_AFFINE_INL_H_
