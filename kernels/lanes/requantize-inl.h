// The last step of the K types: the codes of one sub-block, along its values, given its scale.

#if defined(QUANTIZED_KERNELS_LANES_REQUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_LANES_REQUANTIZE_INL_H_
#undef QUANTIZED_KERNELS_LANES_REQUANTIZE_INL_H_
#else
#define QUANTIZED_KERNELS_LANES_REQUANTIZE_INL_H_
#endif

#include <cstring>

#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// codes[i] = clamp(round((x[i] + shift) / scale), low, high) - low.
template <size_t kValues>
HWY_INLINE void RoundQuotients(const float* HWY_RESTRICT x, float shift, float scale, int low,
                               int high, uint8_t* HWY_RESTRICT codes) {
  const IntLanes di;
  for (size_t i = 0; i < kValues; i += kLanes) {
    const FloatVec sum = hn::Add(hn::LoadU(Lanes(), x + i), SetAll(shift));
    const IntVec l = NearestWrapped(hn::Div(sum, SetAll(scale)));
    const IntVec clamped = hn::Min(hn::Max(l, hn::Set(di, low)), hn::Set(di, high));
    StoreBytes(hn::Sub(clamped, hn::Set(di, low)), codes + i);
  }
}

// codes[i] = clamp(round(inverse * (x[i] - start)), low, high) - low: those of the search.
template <size_t kValues>
HWY_INLINE void RoundProducts(const float* HWY_RESTRICT x, float start, float inverse, int low,
                              int high, uint8_t* HWY_RESTRICT codes) {
  const IntLanes di;
  for (size_t i = 0; i < kValues; i += kLanes) {
    const FloatVec difference = hn::Sub(hn::LoadU(Lanes(), x + i), SetAll(start));
    const IntVec l = NearestWrapped(hn::Mul(SetAll(inverse), difference));
    const IntVec clamped = hn::Min(hn::Max(l, hn::Set(di, low)), hn::Set(di, high));
    StoreBytes(hn::Sub(clamped, hn::Set(di, low)), codes + i);
  }
}

// The codes of a symmetric search: RoundProducts from 0, and 0 where `inverse` is 0.
template <size_t kValues, int kLevels>
HWY_INLINE void RoundSymmetric(const float* HWY_RESTRICT x, float inverse,
                               uint8_t* HWY_RESTRICT codes) {
  if (inverse != 0) {
    RoundProducts<kValues>(x, 0.0f, inverse, -kLevels, kLevels - 1, codes);
  } else {
    std::memset(codes, 0, kValues);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_LANES_REQUANTIZE_INL_H_
