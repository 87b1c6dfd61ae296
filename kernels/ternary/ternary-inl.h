// Ternary codes of several values, and the scales of several blocks.

#if defined(QUANTIZED_KERNELS_TERNARY_TERNARY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_TERNARY_TERNARY_INL_H_
#undef QUANTIZED_KERNELS_TERNARY_TERNARY_INL_H_
#else
#define QUANTIZED_KERNELS_TERNARY_TERNARY_INL_H_
#endif

#include "kernels/lanes/extremes-inl.h"
#include "kernels/lanes/half-inl.h"
#include "kernels/ternary/ternary.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

struct TernaryScales {
  HWY_ALIGN float inverse[kLanes];   // as InverseOrZero gives it
  HWY_ALIGN uint16_t scale[kLanes];  // f16
  LaneMask overflow;                 // a scale other than 0 has no inverse
};

// Of kLanes blocks of kValues values.
template <size_t kValues>
HWY_INLINE TernaryScales TernaryScalesOf(const float* HWY_RESTRICT x) {
  const Lanes d;
  const FloatVec scale = MaxMagnitudeOfRuns<kValues>(x);
  const FloatVec inverse =
      hn::IfThenElseZero(hn::Ne(scale, hn::Zero(d)), hn::Div(SetAll(1.0f), scale));
  TernaryScales scales;
  scales.overflow = hn::IsInf(inverse);
  hn::Store(hn::IfThenZeroElse(scales.overflow, inverse), d, scales.inverse);
  hn::Store(F32ToF16(scale), HalfLanes(), scales.scale);
  return scales;
}

// TernaryCode - 1 of the values at `x`, one per lane of `d`.
template <class D>
HWY_INLINE hn::Vec<hn::Rebind<int32_t, D>> TernaryDigits(D d, const float* HWY_RESTRICT x,
                                                         float inverse) {
  const hn::Rebind<int32_t, D> di;
  const auto ratio = hn::Mul(hn::LoadU(d, x), hn::Set(d, inverse));
  const auto up = hn::VecFromMask(di, hn::RebindMask(di, hn::Ge(ratio, hn::Set(d, 0.5f))));
  const auto down = hn::VecFromMask(di, hn::RebindMask(di, hn::Le(ratio, hn::Set(d, -0.5f))));
  return hn::Sub(down, up);  // a mask that is set is -1
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_TERNARY_TERNARY_INL_H_
