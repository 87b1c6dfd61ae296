// affine_code.h for a vector of values, bit by bit the same.

#if defined(QUANTIZED_KERNELS_GROUP_RANGE_AFFINE_CODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_GROUP_RANGE_AFFINE_CODE_INL_H_
#undef QUANTIZED_KERNELS_GROUP_RANGE_AFFINE_CODE_INL_H_
#else
#define QUANTIZED_KERNELS_GROUP_RANGE_AFFINE_CODE_INL_H_
#endif

#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Written with comparisons, so that a NaN takes the way that it takes in the plain form.
HWY_INLINE FloatVec LanesBetween(FloatVec v, FloatVec low, FloatVec high) {
  const FloatVec raised = hn::IfThenElse(hn::Gt(v, low), v, low);
  return hn::IfThenElse(hn::Lt(raised, high), raised, high);
}

HWY_INLINE FloatVec CodeLanes(FloatVec value, FloatVec scale, FloatVec zero, FloatVec max_code) {
  const FloatVec quotient = LanesBetween(hn::Div(value, scale), hn::Neg(max_code), max_code);
  return LanesBetween(hn::Add(NearestSmall(quotient), zero), hn::Zero(Lanes()), max_code);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_GROUP_RANGE_AFFINE_CODE_INL_H_
