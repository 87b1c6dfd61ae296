// Coordinate descent (kernels/search/descent.h) with one sub-block per lane.

#if defined(QUANTIZED_KERNELS_SEARCH_DESCENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_SEARCH_DESCENT_INL_H_
#undef QUANTIZED_KERNELS_SEARCH_DESCENT_INL_H_
#else
#define QUANTIZED_KERNELS_SEARCH_DESCENT_INL_H_
#endif

#include "kernels/lanes/lanes-inl.h"
#include "kernels/search/descent.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// kGroups vectors of sub-blocks at once: each step waits for a division that needs the step before,
// and several independent chains hide that.
template <size_t kValues, size_t kGroups>
struct DescentProblem {
  static constexpr size_t kStride = kLanes * kGroups;  // sub-blocks
  // Value i of sub-block j at [i * kStride + j].
  HWY_ALIGN float x[kValues * kStride];
  HWY_ALIGN float w[kValues * kStride];
  HWY_ALIGN float wx[kValues * kStride];
  HWY_ALIGN float level[kValues * kStride];
  HWY_ALIGN float a[kStride];
  HWY_ALIGN float b[kStride];
};

template <size_t kValues, size_t kGroups>
HWY_INLINE void LoadProblem(const float* HWY_RESTRICT x, DescentProblem<kValues, kGroups>& p) {
  constexpr size_t kStride = DescentProblem<kValues, kGroups>::kStride;
  const Lanes d;
  for (size_t g = 0; g < kGroups; ++g) {
    HWY_ALIGN float runs[kValues * kLanes];
    LoadRuns<kValues>(x + g * kLanes * kValues, runs);
    for (size_t i = 0; i < kValues; ++i) {
      const size_t at = i * kStride + g * kLanes;
      const FloatVec xi = hn::Load(d, runs + i * kLanes);
      const FloatVec wi = hn::Mul(xi, xi);
      hn::Store(xi, d, p.x + at);
      hn::Store(wi, d, p.w + at);
      hn::Store(hn::Mul(wi, xi), d, p.wx + at);
    }
  }
}

HWY_INLINE FloatVec ClampedLevel(FloatVec v, int levels) {
  const IntLanes d;
  const IntVec low = hn::Set(d, -levels), high = hn::Set(d, levels - 1);
  return hn::ConvertTo(Lanes(), hn::Min(hn::Max(NearestWrapped(v), low), high));
}

// The first codes, from the value of largest magnitude. Returns the lanes of group `g` where it is
// large enough; the others are to have scale and codes 0.
template <size_t kValues, int kLevels, size_t kGroups>
HWY_INLINE LaneMask StartDescent(size_t g, DescentProblem<kValues, kGroups>& p) {
  constexpr size_t kStride = DescentProblem<kValues, kGroups>::kStride;
  const Lanes d;
  FloatVec magnitude = hn::Zero(d), largest = hn::Zero(d);
  for (size_t i = g * kLanes; i < kValues * kStride; i += kStride) {
    const FloatVec xi = hn::Load(d, p.x + i);
    const LaneMask larger = hn::Gt(hn::Abs(xi), magnitude);
    magnitude = hn::IfThenElse(larger, hn::Abs(xi), magnitude);
    largest = hn::IfThenElse(larger, xi, largest);
  }
  const LaneMask active = hn::Not(hn::Lt(magnitude, SetAll(kSmallestMagnitude)));
  const FloatVec inverse = hn::IfThenElseZero(active, hn::Div(SetAll(-kLevels), largest));
  FloatVec a = hn::Zero(d), b = hn::Zero(d);
  for (size_t i = g * kLanes; i < kValues * kStride; i += kStride) {
    const FloatVec l = ClampedLevel(hn::Mul(inverse, hn::Load(d, p.x + i)), kLevels);
    hn::Store(l, d, p.level + i);
    a = hn::Add(a, hn::Mul(hn::Load(d, p.wx + i), l));
    b = hn::Add(b, hn::Mul(hn::Mul(hn::Load(d, p.w + i), l), l));
  }
  hn::Store(a, d, p.a + g * kLanes);
  hn::Store(b, d, p.b + g * kLanes);
  return active;
}

// One sweep over the values. Returns whether a lane changed; lanes that did not would not change in
// another sweep either, so all may run as long as one does.
template <size_t kValues, int kLevels, size_t kGroups>
HWY_INLINE bool SweepDescent(DescentProblem<kValues, kGroups>& p) {
  constexpr size_t kStride = DescentProblem<kValues, kGroups>::kStride;
  const Lanes d;
  const FloatVec zero = hn::Zero(d);
  FloatVec a[kGroups], b[kGroups];
  FloatVec changed = zero;
  for (size_t g = 0; g < kGroups; ++g) {
    a[g] = hn::Load(d, p.a + g * kLanes);
    b[g] = hn::Load(d, p.b + g * kLanes);
  }
  for (size_t i = 0; i < kValues * kStride; i += kStride) {
    for (size_t g = 0; g < kGroups; ++g) {
      const size_t at = i + g * kLanes;
      const FloatVec w = hn::Load(d, p.w + at), wx = hn::Load(d, p.wx + at);
      const FloatVec old_l = hn::Load(d, p.level + at);
      const FloatVec a_without = hn::Sub(a[g], hn::Mul(wx, old_l));
      const FloatVec b_without = hn::Sub(b[g], hn::Mul(hn::Mul(w, old_l), old_l));
      const FloatVec l =
          ClampedLevel(hn::Div(hn::Mul(hn::Load(d, p.x + at), b_without), a_without), kLevels);
      const FloatVec new_a = hn::Add(a_without, hn::Mul(wx, l));
      const FloatVec new_b = hn::Add(b_without, hn::Mul(hn::Mul(w, l), l));
      const LaneMask tried = hn::And(hn::Gt(a_without, zero), hn::Ne(l, old_l));
      const LaneMask better =
          hn::Gt(hn::Mul(hn::Mul(new_a, new_a), b[g]), hn::Mul(hn::Mul(a[g], a[g]), new_b));
      const LaneMask accept = hn::And(tried, hn::And(hn::Gt(new_b, zero), better));
      hn::Store(hn::IfThenElse(accept, l, old_l), d, p.level + at);
      a[g] = hn::IfThenElse(accept, new_a, a[g]);
      b[g] = hn::IfThenElse(accept, new_b, b[g]);
      changed = hn::IfThenElse(accept, SetAll(1.0f), changed);
    }
  }
  for (size_t g = 0; g < kGroups; ++g) {
    hn::Store(a[g], d, p.a + g * kLanes);
    hn::Store(b[g], d, p.b + g * kLanes);
  }
  return !hn::AllFalse(d, hn::Ne(changed, zero));
}

// Searches kLanes * kGroups sub-blocks, one after the other in `x`. scales[j] is that of sub-block
// j; codes[i * kLanes * kGroups + j] the code 0 … 2n-1 of its value i.
template <size_t kValues, int kLevels, size_t kGroups>
void SearchDescent(const float* HWY_RESTRICT x, float* HWY_RESTRICT scales,
                   uint8_t* HWY_RESTRICT codes) {
  constexpr size_t kStride = DescentProblem<kValues, kGroups>::kStride;
  const Lanes d;
  DescentProblem<kValues, kGroups> p;
  LoadProblem(x, p);
  LaneMask active[kGroups];
  for (size_t g = 0; g < kGroups; ++g) {
    active[g] = StartDescent<kValues, kLevels, kGroups>(g, p);
  }
  for (int sweep = 0; sweep < 5; ++sweep) {
    if (!SweepDescent<kValues, kLevels, kGroups>(p)) break;
  }
  for (size_t g = 0; g < kGroups; ++g) {
    const FloatVec a = hn::Load(d, p.a + g * kLanes), b = hn::Load(d, p.b + g * kLanes);
    const LaneMask solved = hn::And(active[g], hn::Gt(b, hn::Zero(d)));
    hn::StoreU(hn::IfThenElseZero(solved, hn::Div(a, b)), d, scales + g * kLanes);
    for (size_t i = g * kLanes; i < kValues * kStride; i += kStride) {
      const FloatVec code = hn::Add(hn::Load(d, p.level + i), SetAll(kLevels));
      StoreBytes(Truncate(hn::IfThenElseZero(active[g], code)), codes + i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_DESCENT_INL_H_
