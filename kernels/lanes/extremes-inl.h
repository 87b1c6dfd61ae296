// Extremes of runs of values, one run per lane. Max and Min have no order but for the sign of
// zero and for equal magnitudes, which are looked at again in the order of the values.

#if defined(QUANTIZED_KERNELS_LANES_EXTREMES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_LANES_EXTREMES_INL_H_
#undef QUANTIZED_KERNELS_LANES_EXTREMES_INL_H_
#else
#define QUANTIZED_KERNELS_LANES_EXTREMES_INL_H_
#endif

#include "kernels/lanes/lanes-inl.h"
#include "kernels/types/extremes.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

struct MaxOp {
  HWY_INLINE FloatVec operator()(FloatVec a, FloatVec b) const { return hn::Max(a, b); }
};
struct MinOp {
  HWY_INLINE FloatVec operator()(FloatVec a, FloatVec b) const { return hn::Min(a, b); }
};

// Of two values that are not negative. As integers their patterns have the same order, in which a
// NaN is larger than all numbers: it is never lost, whichever instruction set runs.
struct MaxMagnitudeOp {
  HWY_INLINE FloatVec operator()(FloatVec a, FloatVec b) const {
    const IntLanes d;
    return hn::BitCast(Lanes(), hn::Max(hn::BitCast(d, a), hn::BitCast(d, b)));
  }
};

// The largest magnitude in each of kLanes runs of kValues values.
template <size_t kValues>
HWY_INLINE FloatVec MaxMagnitudeOfRuns(const float* HWY_RESTRICT x) {
  const Lanes d;
  const MaxMagnitudeOp larger;
  FloatVec max[kLanes];
  for (size_t run = 0; run < kLanes; ++run) {
    max[run] = hn::Zero(d);
    for (size_t i = 0; i < kValues; i += kLanes) {
      max[run] = larger(max[run], hn::Abs(hn::LoadU(d, x + run * kValues + i)));
    }
  }
  return ReduceEach(max, larger);
}

// The smallest (MinOp) or largest (MaxOp) value of each of kLanes runs; either zero for zero.
template <size_t kValues, class Op>
HWY_INLINE FloatVec ExtremeOfRuns(const float* HWY_RESTRICT x, const Op& op) {
  const Lanes d;
  FloatVec extreme[kLanes];
  for (size_t run = 0; run < kLanes; ++run) {
    extreme[run] = hn::LoadU(d, x + run * kValues);
    for (size_t i = kLanes; i < kValues; i += kLanes) {
      extreme[run] = op(extreme[run], hn::LoadU(d, x + run * kValues + i));
    }
  }
  return ReduceEach(extreme, op);
}

// kernels::FirstLargest of each of kLanes runs.
template <size_t kValues>
HWY_INLINE FloatVec FirstLargestOfRuns(const float* HWY_RESTRICT x) {
  const Lanes d;
  const FloatVec high = ExtremeOfRuns<kValues>(x, MaxOp());
  const FloatVec low = ExtremeOfRuns<kValues>(x, MinOp());
  const FloatVec depth = hn::Neg(low);
  const FloatVec largest = hn::IfThenElse(hn::Gt(depth, high), low, high);
  const LaneMask tie = hn::Eq(depth, high);
  if (HWY_LIKELY(hn::AllFalse(d, tie))) return largest;
  HWY_ALIGN float first[kLanes];
  for (size_t run = 0; run < kLanes; ++run) {
    first[run] = FirstLargest(x + run * kValues, kValues);
  }
  return hn::IfThenElse(tie, hn::Load(d, first), largest);
}

struct Span {
  FloatVec min, max;
};

// Smallest and largest value of each of kLanes runs, as the plain forms find them. Where all
// values are equal, `max` is `min` to the bit.
template <size_t kValues>
HWY_INLINE Span SpanOfRuns(const float* HWY_RESTRICT x) {
  const Lanes d;
  Span span = {ExtremeOfRuns<kValues>(x, MinOp()), ExtremeOfRuns<kValues>(x, MaxOp())};
  const LaneMask zero = hn::Eq(span.min, hn::Zero(d));
  if (HWY_UNLIKELY(!hn::AllFalse(d, zero))) {
    HWY_ALIGN float first[kLanes];
    for (size_t run = 0; run < kLanes; ++run) {
      first[run] = FirstSmallest(x + run * kValues, kValues);
    }
    span.min = hn::IfThenElse(zero, hn::Load(d, first), span.min);
  }
  // A run of one value has the distance +0, whichever zeros it is made of.
  span.max = hn::IfThenElse(hn::Eq(span.max, span.min), span.min, span.max);
  return span;
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_LANES_EXTREMES_INL_H_
