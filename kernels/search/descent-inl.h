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

// kLanes sub-blocks: their values, the codes so far, and A and B of these.
template <size_t kValues>
struct DescentGroup {
  static constexpr size_t kCount = kValues * kLanes;
  HWY_ALIGN float x[kCount];  // as LoadRuns lays them out, and so are the others
  HWY_ALIGN float w[kCount];
  HWY_ALIGN float wx[kCount];
  HWY_ALIGN float level[kCount];
  HWY_ALIGN float a[kLanes];
  HWY_ALIGN float b[kLanes];
};

HWY_INLINE FloatVec ClampedLevel(FloatVec v, int levels) {
  const IntLanes d;
  const IntVec low = hn::Set(d, -levels), high = hn::Set(d, levels - 1);
  return hn::ConvertTo(Lanes(), hn::Min(hn::Max(NearestWrapped(v), low), high));
}

// The first codes of the sub-blocks in group.x, from the value of largest magnitude. Where that is
// too small, codes, A and B are 0, so that the scale will be, and no code asks for another one.
template <size_t kValues, int kLevels>
HWY_INLINE void StartDescent(DescentGroup<kValues>& group) {
  const Lanes d;
  FloatVec magnitude = hn::Zero(d), largest = hn::Zero(d);
  for (size_t i = 0; i < group.kCount; i += kLanes) {
    const FloatVec xi = hn::Load(d, group.x + i);
    const LaneMask larger = hn::Gt(hn::Abs(xi), magnitude);
    magnitude = hn::IfThenElse(larger, hn::Abs(xi), magnitude);
    largest = hn::IfThenElse(larger, xi, largest);
  }
  const LaneMask active = hn::Not(hn::Lt(magnitude, SetAll(kSmallestMagnitude)));
  const FloatVec inverse = hn::IfThenElseZero(active, hn::Div(SetAll(-kLevels), largest));
  const FloatVec low = SetAll(-kLevels), high = SetAll(kLevels - 1);
  FloatVec a = hn::Zero(d), b = hn::Zero(d);
  for (size_t i = 0; i < group.kCount; i += kLanes) {
    const FloatVec xi = hn::Load(d, group.x + i);
    const FloatVec w = hn::Mul(xi, xi), wx = hn::Mul(w, xi);
    // |inverse * x| is at most about kLevels, so rounding needs no wrap.
    const FloatVec l = hn::Max(hn::Min(NearestSmall(hn::Mul(inverse, xi)), high), low);
    hn::Store(w, d, group.w + i);
    hn::Store(wx, d, group.wx + i);
    hn::Store(l, d, group.level + i);
    a = hn::Add(a, hn::Mul(wx, l));
    b = hn::Add(b, hn::Mul(hn::Mul(w, l), l));
  }
  hn::Store(a, d, group.a);
  hn::Store(b, d, group.b);
}

// What one value's step of a sweep sees.
struct DescentStep {
  FloatVec w, wx, old_l;
  FloatVec a_without, b_without;  // A and B of the other values
  FloatVec l;                     // the code that these want
  LaneMask tried;                 // it is another one, and worth a look
};

template <size_t kValues, int kLevels>
HWY_INLINE DescentStep StepOf(const DescentGroup<kValues>& group, size_t i, FloatVec a,
                              FloatVec b) {
  const Lanes d;
  DescentStep step;
  step.w = hn::Load(d, group.w + i);
  step.wx = hn::Load(d, group.wx + i);
  step.old_l = hn::Load(d, group.level + i);
  step.a_without = hn::Sub(a, hn::Mul(step.wx, step.old_l));
  step.b_without = hn::Sub(b, hn::Mul(hn::Mul(step.w, step.old_l), step.old_l));
  const FloatVec product = hn::Mul(hn::Load(d, group.x + i), step.b_without);
  step.l = ClampedLevel(hn::Div(product, step.a_without), kLevels);
  step.tried = hn::And(hn::Gt(step.a_without, hn::Zero(d)), hn::Ne(step.l, step.old_l));
  return step;
}

// The lanes where some code asks for another one. The other lanes are done: as long as nothing is
// accepted A and B stay what they are, so a sweep would ask the same questions, one after the
// other.
template <size_t kValues, int kLevels>
HWY_INLINE LaneMask Unsettled(const DescentGroup<kValues>& group) {
  const Lanes d;
  const FloatVec a = hn::Load(d, group.a), b = hn::Load(d, group.b);
  LaneMask unsettled = hn::FirstN(d, 0);
  for (size_t i = 0; i < group.kCount; i += kLanes) {
    unsettled = hn::Or(unsettled, StepOf<kValues, kLevels>(group, i, a, b).tried);
  }
  return unsettled;
}

// One sweep over the values of kGroups groups: each step waits for a division that needs the step
// before, and several independent chains hide that. `changed`: the lanes where a code did; another
// sweep would change nothing in the other ones. Returns whether there are any.
template <size_t kValues, int kLevels, size_t kGroups>
HWY_INLINE bool SweepDescent(DescentGroup<kValues> (&groups)[kGroups],
                             LaneMask (&changed)[kGroups]) {
  const Lanes d;
  const FloatVec zero = hn::Zero(d);
  FloatVec a[kGroups], b[kGroups];
  for (size_t g = 0; g < kGroups; ++g) {
    changed[g] = hn::FirstN(d, 0);
    a[g] = hn::Load(d, groups[g].a);
    b[g] = hn::Load(d, groups[g].b);
  }
  for (size_t i = 0; i < groups[0].kCount; i += kLanes) {
    for (size_t g = 0; g < kGroups; ++g) {
      const DescentStep step = StepOf<kValues, kLevels>(groups[g], i, a[g], b[g]);
      const FloatVec l = step.l;
      const FloatVec new_a = hn::Add(step.a_without, hn::Mul(step.wx, l));
      const FloatVec new_b = hn::Add(step.b_without, hn::Mul(hn::Mul(step.w, l), l));
      const LaneMask better =
          hn::Gt(hn::Mul(hn::Mul(new_a, new_a), b[g]), hn::Mul(hn::Mul(a[g], a[g]), new_b));
      const LaneMask accept = hn::And(step.tried, hn::And(hn::Gt(new_b, zero), better));
      hn::Store(hn::IfThenElse(accept, l, step.old_l), d, groups[g].level + i);
      a[g] = hn::IfThenElse(accept, new_a, a[g]);
      b[g] = hn::IfThenElse(accept, new_b, b[g]);
      changed[g] = hn::Or(changed[g], accept);
    }
  }
  bool any = false;
  for (size_t g = 0; g < kGroups; ++g) {
    hn::Store(a[g], d, groups[g].a);
    hn::Store(b[g], d, groups[g].b);
    any = any || !hn::AllFalse(d, changed[g]);
  }
  return any;
}

template <size_t kValues>
HWY_INLINE FloatVec DescentScale(const DescentGroup<kValues>& group) {
  const Lanes d;
  const FloatVec a = hn::Load(d, group.a), b = hn::Load(d, group.b);
  return hn::IfThenElseZero(hn::Gt(b, hn::Zero(d)), hn::Div(a, b));
}

// Does up to kSweeps sweeps over the `count` sub-blocks of `x` with the indices at `which`, kGroups
// vectors of them at once, and writes their scales to scales[index]. Returns the number of those
// that may change in another sweep, whose indices are then the first ones at `which`.
// There is room for kGroups * kLanes more indices at `which`.
template <size_t kValues, int kLevels, int kSweeps, size_t kGroups>
HWY_INLINE size_t Descend(const float* HWY_RESTRICT x, uint16_t* HWY_RESTRICT which, size_t count,
                          float* HWY_RESTRICT scales) {
  constexpr size_t kTogether = kGroups * kLanes;
  const Lanes d;
  size_t left = 0;
  for (size_t i = 0; count > 0 && i < kTogether; ++i) which[count + i] = which[count - 1];
  for (size_t first = 0; first < count; first += kTogether) {
    DescentGroup<kValues> groups[kGroups];
    LaneMask changed[kGroups];
    for (size_t g = 0; g < kGroups; ++g) {
      const uint16_t* indices = which + first + g * kLanes;
      LoadRunsFrom<kValues>([&](size_t lane) { return x + indices[lane] * kValues; }, groups[g].x);
      StartDescent<kValues, kLevels>(groups[g]);
      changed[g] = hn::FirstN(d, kLanes);
    }
    for (int sweep = 0; sweep < kSweeps; ++sweep) {
      if (!SweepDescent<kValues, kLevels>(groups, changed)) break;
    }
    for (size_t g = 0; g < kGroups; ++g) {
      HWY_ALIGN float scale[kLanes];
      hn::Store(DescentScale(groups[g]), d, scale);
      uint8_t unsettled[8] = {};
      if constexpr (kSweeps < kDescentSweeps) {
        hn::StoreMaskBits(d, hn::And(changed[g], Unsettled<kValues, kLevels>(groups[g])),
                          unsettled);
      }
      for (size_t lane = 0; lane < kLanes; ++lane) {
        const size_t at = first + g * kLanes + lane;
        const uint16_t index = which[at];
        scales[index] = scale[lane];
        which[left] = index;  // not ahead of `at`
        left += at < count ? unsettled[lane / 8] >> (lane % 8) & 1 : 0;
      }
    }
  }
  return left;
}

// The scales of `count` sub-blocks, at most kMaxCount, one after the other in `x`. The codes are
// needed only where a scale becomes zero; the plain search finds them again.
// Of normal values, four of five sub-blocks are settled with their first codes, and three of four
// of the others after one sweep. So those that are left, wherever they come from, fill vectors of
// their own, twice; to start again from the first codes costs less than to carry codes along.
template <size_t kValues, int kLevels, size_t kMaxCount>
void SearchDescent(const float* HWY_RESTRICT x, size_t count, float* HWY_RESTRICT scales) {
  constexpr size_t kGroups = 4;
  uint16_t which[kMaxCount + kGroups * kLanes];
  for (size_t j = 0; j < count; ++j) which[j] = static_cast<uint16_t>(j);
  count = Descend<kValues, kLevels, 0, 1>(x, which, count, scales);
  count = Descend<kValues, kLevels, 1, kGroups>(x, which, count, scales);
  Descend<kValues, kLevels, kDescentSweeps, kGroups>(x, which, count, scales);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_DESCENT_INL_H_
