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

// Vectors of sub-blocks that are best searched at once.
inline constexpr size_t kAffineGroups = 2;

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

// The errors of kGroups candidates, each with its x, weights and codes after the other's. A sum
// waits for the sum before, and several of them hide that.
template <size_t kValues, bool kAbsolute, size_t kGroups>
HWY_INLINE void AffineErrors(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights,
                             const float* HWY_RESTRICT codes, const FloatVec (&scale)[kGroups],
                             const FloatVec (&min)[kGroups], FloatVec (&error)[kGroups]) {
  constexpr size_t kStride = kValues * kLanes;
  const Lanes d;
  for (FloatVec& sum : error) sum = hn::Zero(d);
  for (size_t i = 0; i < kStride; i += kLanes) {
    for (size_t g = 0; g < kGroups; ++g) {
      const size_t at = g * kStride + i;
      const FloatVec decoded = hn::Add(hn::Mul(scale[g], hn::Load(d, codes + at)), min[g]);
      const FloatVec difference = hn::Sub(decoded, hn::Load(d, x + at));
      const FloatVec distance = kAbsolute ? hn::Abs(difference) : hn::Mul(difference, difference);
      error[g] = hn::Add(error[g], hn::Mul(hn::Load(d, weights + at), distance));
    }
  }
}

// What stays the same for all candidates of a group of lanes, and where the next one's codes start.
struct AffineGroup {
  FloatVec sum_w, sum_x;
  FloatVec smallest, max, min;
  LaneMask spread;  // a lane without keeps inverse 0 throughout: codes 0, nothing to accept
};

template <size_t kValues>
HWY_INLINE AffineGroup StartAffine(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights) {
  const Lanes d;
  AffineGroup group;
  group.smallest = group.max = hn::Load(d, x);
  group.sum_w = hn::Load(d, weights);
  group.sum_x = hn::Mul(group.sum_w, group.smallest);
  for (size_t i = kLanes; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i), wi = hn::Load(d, weights + i);
    group.smallest = hn::IfThenElse(hn::Lt(xi, group.smallest), xi, group.smallest);
    group.max = hn::IfThenElse(hn::Gt(xi, group.max), xi, group.max);
    group.sum_w = hn::Add(group.sum_w, wi);
    group.sum_x = hn::Add(group.sum_x, hn::Mul(wi, xi));
  }
  const FloatVec zero = hn::Zero(d);
  group.min = hn::IfThenElse(hn::Gt(group.smallest, zero), zero, group.smallest);
  group.spread = hn::Ne(group.max, group.min);
  return group;
}

// AffineCandidate with the rounding that the values of the group allow.
template <size_t kValues, int kMaxCode>
HWY_INLINE AffineSums AffineCandidateOf(const AffineGroup& group, const float* HWY_RESTRICT x,
                                        const float* HWY_RESTRICT weights, FloatVec inverse,
                                        float* HWY_RESTRICT codes) {
  // Rounding is monotonic: if the ends stay below 2^22, so does everything between them.
  const FloatVec reach = hn::Mul(
      hn::Abs(inverse),
      hn::Max(hn::Abs(hn::Sub(group.max, group.min)), hn::Abs(hn::Sub(group.smallest, group.min))));
  return HWY_LIKELY(hn::AllTrue(Lanes(), hn::Lt(reach, SetAll(4194304.0f))))
             ? AffineCandidate<kValues, kMaxCode, false>(x, weights, inverse, group.min, codes)
             : AffineCandidate<kValues, kMaxCode, true>(x, weights, inverse, group.min, codes);
}

// Searches kLanes * kGroups sub-blocks. `x` and `weights`: what LoadRuns makes of each group, one
// group after the other.
template <size_t kValues, int kMaxCode, bool kAbsolute, size_t kGroups>
void SearchAffine(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights,
                  const AffineGrid& grid, AffineResult (&best)[kGroups]) {
  constexpr size_t kStride = kValues * kLanes;
  const Lanes d;
  const FloatVec zero = hn::Zero(d);
  HWY_ALIGN float codes[kGroups * kStride];
  AffineGroup group[kGroups];
  FloatVec scale[kGroups], min[kGroups], best_error[kGroups];
  for (size_t g = 0; g < kGroups; ++g) {
    group[g] = StartAffine<kValues>(x + g * kStride, weights + g * kStride);
    min[g] = group[g].min;
    const FloatVec inverse = hn::IfThenElseZero(
        group[g].spread, hn::Div(SetAll(kMaxCode), hn::Sub(group[g].max, group[g].min)));
    scale[g] = hn::Div(SetAll(1.0f), inverse);
    best[g] = {scale[g], zero, inverse, group[g].min};
    AffineCandidateOf<kValues, kMaxCode>(group[g], x + g * kStride, weights + g * kStride, inverse,
                                         codes + g * kStride);
  }
  AffineErrors<kValues, kAbsolute>(x, weights, codes, scale, min, best_error);

  for (int k = 0; k <= grid.steps; ++k) {
    const float numerator =
        grid.first + grid.step * static_cast<float>(k) + static_cast<float>(kMaxCode);
    FloatVec inverse[kGroups], error[kGroups];
    LaneMask solvable[kGroups];
    for (size_t g = 0; g < kGroups; ++g) {
      const FloatVec sum_w = group[g].sum_w, sum_x = group[g].sum_x;
      inverse[g] = hn::IfThenElseZero(
          group[g].spread, hn::Div(SetAll(numerator), hn::Sub(group[g].max, group[g].min)));
      const AffineSums sums = AffineCandidateOf<kValues, kMaxCode>(
          group[g], x + g * kStride, weights + g * kStride, inverse[g], codes + g * kStride);
      const FloatVec determinant = hn::Sub(hn::Mul(sum_w, sums.l2), hn::Mul(sums.l, sums.l));
      scale[g] = hn::Div(hn::Sub(hn::Mul(sum_w, sums.xl), hn::Mul(sum_x, sums.l)), determinant);
      min[g] = hn::Div(hn::Sub(hn::Mul(sums.l2, sum_x), hn::Mul(sums.l, sums.xl)), determinant);
      const LaneMask above = hn::Gt(min[g], zero);
      min[g] = hn::IfThenElse(above, zero, min[g]);
      scale[g] = hn::IfThenElse(above, hn::Div(sums.xl, sums.l2), scale[g]);
      solvable[g] = hn::Gt(determinant, zero);
    }
    AffineErrors<kValues, kAbsolute>(x, weights, codes, scale, min, error);
    for (size_t g = 0; g < kGroups; ++g) {
      const LaneMask accept = hn::And(solvable[g], hn::Lt(error[g], best_error[g]));
      best_error[g] = hn::IfThenElse(accept, error[g], best_error[g]);
      best[g].scale = hn::IfThenElse(accept, scale[g], best[g].scale);
      best[g].inverse = hn::IfThenElse(accept, inverse[g], best[g].inverse);
      best[g].start = hn::IfThenElse(accept, group[g].min, best[g].start);
      group[g].min = hn::IfThenElse(accept, min[g], group[g].min);
    }
  }
  for (size_t g = 0; g < kGroups; ++g) {
    best[g].scale = hn::IfThenElseZero(group[g].spread, best[g].scale);
    best[g].min = hn::Neg(group[g].min);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_AFFINE_INL_H_
