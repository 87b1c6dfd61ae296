// Exponentials of Highway's contrib/math within the ranges where it is defined.

#if defined(QUANTIZED_KERNELS_LANES_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_LANES_EXP_INL_H_
#undef QUANTIZED_KERNELS_LANES_EXP_INL_H_
#else
#define QUANTIZED_KERNELS_LANES_EXP_INL_H_
#endif

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// exp(x) for any finite x, f32: infinite above 88.8, 0 far below -87. hn::Exp is not defined beyond
// 104.
template <class D, class V>
HWY_INLINE V ExpOfAny(D d, V x) {
  const V limit = hn::Set(d, 104.0f);
  return hn::Exp(d, hn::Max(hn::Min(x, limit), hn::Neg(limit)));
}

// exp(x) for x <= 0, -infinity too, f32 or double: a weight relative to the largest. What would be
// a subnormal number, or nearly, is 0: such numbers are slow on some processors and add nothing.
template <class D, class V>
HWY_INLINE V ExpOfNegative(D d, V x) {
  using T = hn::TFromD<D>;
  const V lowest = hn::Set(d, static_cast<T>(sizeof(T) == sizeof(float) ? -87 : -700));
  return hn::IfThenElseZero(hn::Ge(x, lowest), hn::Exp(d, hn::Max(x, lowest)));
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_LANES_EXP_INL_H_
