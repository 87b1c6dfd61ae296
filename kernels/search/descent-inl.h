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
  FloatVec a = hn::Zero(d), b = hn::Zero(d);
  for (size_t i = 0; i < group.kCount; i += kLanes) {
    const FloatVec xi = hn::Load(d, group.x + i);
    const FloatVec w = hn::Mul(xi, xi), wx = hn::Mul(w, xi);
    const FloatVec l = ClampedLevel(hn::Mul(inverse, xi), kLevels);
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
// before, and several independent chains hide that. Returns whether a lane changed; lanes that did
// not would not change in another sweep either, so all may run as long as one does.
template <size_t kValues, int kLevels, size_t kGroups>
HWY_INLINE bool SweepDescent(DescentGroup<kValues> (&groups)[kGroups]) {
  const Lanes d;
  const FloatVec zero = hn::Zero(d);
  FloatVec a[kGroups], b[kGroups];
  FloatVec changed = zero;
  for (size_t g = 0; g < kGroups; ++g) {
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
      changed = hn::IfThenElse(accept, SetAll(1.0f), changed);
    }
  }
  for (size_t g = 0; g < kGroups; ++g) {
    hn::Store(a[g], d, groups[g].a);
    hn::Store(b[g], d, groups[g].b);
  }
  return !hn::AllFalse(d, hn::Ne(changed, zero));
}

template <size_t kValues>
HWY_INLINE FloatVec DescentScale(const DescentGroup<kValues>& group) {
  const Lanes d;
  const FloatVec a = hn::Load(d, group.a), b = hn::Load(d, group.b);
  return hn::IfThenElseZero(hn::Gt(b, hn::Zero(d)), hn::Div(a, b));
}

// The sub-blocks of `x` with the indices at `which`, in full; writes their scales to scales[index].
template <size_t kValues, int kLevels, size_t kGroups>
void DescendTo(const float* HWY_RESTRICT x, const uint16_t* HWY_RESTRICT which,
               float* HWY_RESTRICT scales) {
  DescentGroup<kValues> groups[kGroups];
  for (size_t g = 0; g < kGroups; ++g) {
    const uint16_t* indices = which + g * kLanes;
    LoadRunsFrom<kValues>([&](size_t run) { return x + indices[run] * kValues; }, groups[g].x);
    StartDescent<kValues, kLevels>(groups[g]);
  }
  for (int sweep = 0; sweep < 5; ++sweep) {
    if (!SweepDescent<kValues, kLevels>(groups)) break;
  }
  for (size_t g = 0; g < kGroups; ++g) {
    HWY_ALIGN float found[kLanes];
    hn::Store(DescentScale(groups[g]), Lanes(), found);
    for (size_t i = 0; i < kLanes; ++i) scales[which[g * kLanes + i]] = found[i];
  }
}

// The scales of kCount sub-blocks, one after the other in `x`. The codes are needed only where a
// scale becomes zero; the plain search finds them again.
// Four of five sub-blocks of normal values are settled with their first codes. The others, wherever
// they are, fill vectors of their own.
template <size_t kValues, int kLevels, size_t kCount>
void SearchDescent(const float* HWY_RESTRICT x, float* HWY_RESTRICT scales) {
  static_assert(kCount % kLanes == 0);
  constexpr size_t kGroups = 4, kTogether = kGroups * kLanes;
  const Lanes d;
  uint16_t unsettled[kCount + kTogether];
  size_t count = 0;
  for (size_t first = 0; first < kCount; first += kLanes) {
    DescentGroup<kValues> group;
    LoadRuns<kValues>(x + first * kValues, group.x);
    StartDescent<kValues, kLevels>(group);
    hn::StoreU(DescentScale(group), d, scales + first);
    uint8_t bits[HWY_MAX(kLanes / 8, 8)] = {};
    hn::StoreMaskBits(d, Unsettled<kValues, kLevels>(group), bits);
    for (size_t i = 0; i < kLanes; ++i) {
      unsettled[count] = static_cast<uint16_t>(first + i);
      count += bits[i / 8] >> (i % 8) & 1;
    }
  }
  if (count == 0) return;
  for (size_t i = count; i < count + kTogether; ++i) unsettled[i] = unsettled[count - 1];
  for (size_t i = 0; i < count; i += kTogether) {
    DescendTo<kValues, kLevels, kGroups>(x, unsettled + i, scales);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_DESCENT_INL_H_
