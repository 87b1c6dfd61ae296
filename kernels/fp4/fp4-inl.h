// The nearest 4-bit floating-point codes of several values (kernels/fp4/fp4.h).

#if defined(QUANTIZED_KERNELS_FP4_FP4_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_FP4_FP4_INL_H_
#undef QUANTIZED_KERNELS_FP4_FP4_INL_H_
#else
#define QUANTIZED_KERNELS_FP4_FP4_INL_H_
#endif

#include <limits>

#include "kernels/fp4/fp4.h"
#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// For kLanes runs of values, from which magnitude on the levels 1 … 7 are nearer than those below
// them; a value just there takes the level below.
//
// This is NearestFp4 for values that are at most about 18 scales large and do not overflow: between
// neighbouring levels the nearer distance is exact (the larger of two levels is at most twice the
// smaller; next to 0 the value itself is the distance), so the distances compare as the value does
// with the middle, and the first of two equal ones is the lower level. Middles are exact: a level
// and a scale have at most four significant bits each.
struct Fp4Middles {
  HWY_ALIGN float middle[7][kLanes];
};

// A scale of 0 has level 0 for every value.
HWY_INLINE void StoreMiddles(FloatVec scale, Fp4Middles& middles) {
  const Lanes d;
  const LaneMask none = hn::Eq(scale, hn::Zero(d));
  for (int code = 0; code < 7; ++code) {
    const FloatVec middle = hn::Mul(scale, SetAll(0.5f * (Fp4Level(code) + Fp4Level(code + 1))));
    hn::Store(hn::IfThenElse(none, SetAll(std::numeric_limits<float>::infinity()), middle), d,
              middles.middle[code]);
  }
}

// The code of each value of `x`, all of run `run`.
template <class D>
HWY_INLINE hn::Vec<hn::Rebind<int32_t, D>> Fp4Codes(D d, const float* HWY_RESTRICT x,
                                                    const Fp4Middles& middles, size_t run) {
  const hn::Rebind<int32_t, D> di;
  const auto value = hn::LoadU(d, x);
  const auto magnitude = hn::Abs(value);
  auto count = hn::Zero(di);  // of middles below, negative
  for (int code = 0; code < 7; ++code) {
    const auto above = hn::Gt(magnitude, hn::Set(d, middles.middle[code][run]));
    count = hn::Add(count, hn::VecFromMask(di, hn::RebindMask(di, above)));
  }
  // The sign, unless the level is 0.
  const auto sign = hn::And(hn::And(hn::ShiftRight<31>(hn::BitCast(di, value)), hn::Set(di, 8)),
                            hn::ShiftRight<31>(count));
  return hn::Or(hn::Neg(count), sign);
}

// kernels::EncodeFp4 of run `run`.
template <size_t kValues>
HWY_INLINE void EncodeFp4(const float* HWY_RESTRICT x, const Fp4Middles& middles, size_t run,
                          uint8_t* HWY_RESTRICT nibbles) {
  constexpr size_t kHalf = kValues / 2;
  const hn::CappedTag<float, kHalf> d;
  const hn::Rebind<uint8_t, decltype(d)> bytes;
  for (size_t i = 0; i < kHalf; i += hn::Lanes(d)) {
    const auto low = Fp4Codes(d, x + i, middles, run);
    const auto high = Fp4Codes(d, x + kHalf + i, middles, run);
    hn::StoreU(hn::DemoteTo(bytes, hn::Or(low, hn::ShiftLeft<4>(high))), bytes, nibbles + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_FP4_FP4_INL_H_
