// The conversions of kernels/types/half.h for a vector of values. Integer arithmetic throughout:
// the processor's own conversions treat NaN and subnormals in ways of their own.

#if defined(QUANTIZED_KERNELS_LANES_HALF_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_LANES_HALF_INL_H_
#undef QUANTIZED_KERNELS_LANES_HALF_INL_H_
#else
#define QUANTIZED_KERNELS_LANES_HALF_INL_H_
#endif

#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

using HalfLanes = hn::Rebind<uint16_t, Lanes>;
using HalfVec = hn::Vec<HalfLanes>;
using BitLanes = hn::Rebind<uint32_t, Lanes>;
using BitVec = hn::Vec<BitLanes>;

HWY_INLINE IntVec SetInt(int32_t value) { return hn::Set(IntLanes(), value); }

// The low 16 bits of lanes that are below 2^16.
HWY_INLINE HalfVec Narrow(IntVec v) { return hn::DemoteTo(HalfLanes(), v); }
HWY_INLINE IntVec Widen(HalfVec v) { return hn::BitCast(IntLanes(), hn::PromoteTo(BitLanes(), v)); }

HWY_INLINE HalfVec F32ToF16(FloatVec v) {
  const IntLanes d;
  const IntVec bits = hn::BitCast(d, v);
  const IntVec magnitude = hn::And(bits, SetInt(0x7FFFFFFF));
  const IntVec sign = hn::BitCast(
      d, hn::ShiftRight<16>(hn::BitCast(BitLanes(), hn::AndNot(SetInt(0x7FFFFFFF), bits))));
  const IntVec odd = hn::And(hn::ShiftRight<13>(magnitude), SetInt(1));
  IntVec half = hn::ShiftRight<13>(hn::Add(magnitude, hn::Add(odd, SetInt(0x0FFF - 0x38000000))));
  const FloatVec sum = hn::Add(hn::BitCast(Lanes(), magnitude), SetAll(0.5f));
  half = hn::IfThenElse(hn::Lt(magnitude, SetInt(0x38800000)),
                        hn::Sub(hn::BitCast(d, sum), SetInt(0x3F000000)), half);
  half = hn::IfThenElse(hn::Gt(magnitude, SetInt(0x477FFFFF)), SetInt(0x7C00), half);
  half = hn::IfThenElse(hn::Gt(magnitude, SetInt(0x7F800000)), SetInt(0x7E00), half);
  return Narrow(hn::Or(half, sign));
}

HWY_INLINE FloatVec F16ToF32(HalfVec halves) {
  const IntLanes d;
  const IntVec half = Widen(halves);
  const IntVec sign = hn::ShiftLeft<16>(hn::And(half, SetInt(0x8000)));
  const IntVec payload = hn::ShiftLeft<13>(hn::And(half, SetInt(0x7FFF)));
  IntVec magnitude = hn::Add(payload, SetInt(112 << 23));
  // A subnormal is its mantissa in steps of 2^-24: put below a one of weight 2^-14, then take that
  // one away.
  const FloatVec with_one = hn::BitCast(Lanes(), hn::Add(payload, SetInt(113 << 23)));
  const FloatVec subnormal = hn::Sub(with_one, SetAll(0x1p-14f));
  magnitude =
      hn::IfThenElse(hn::Lt(payload, SetInt(1 << 23)), hn::BitCast(d, subnormal), magnitude);
  const IntVec infinite = hn::Or(payload, SetInt(0x7F800000));
  magnitude = hn::IfThenElse(hn::Gt(payload, SetInt(0x0F7FFFFF)), infinite, magnitude);
  magnitude = hn::IfThenElse(hn::Gt(payload, SetInt(0x0F800000)),
                             hn::Or(infinite, SetInt(0x00400000)), magnitude);
  return hn::BitCast(Lanes(), hn::Or(magnitude, sign));
}

HWY_INLINE HalfVec F32ToBF16(FloatVec v) {
  const BitLanes d;
  const BitVec bits = hn::BitCast(d, v);
  const BitVec upper = hn::ShiftRight<16>(bits);
  const BitVec odd = hn::And(upper, hn::Set(d, 1));
  const BitVec rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7FFF))));
  const auto is_nan = hn::RebindMask(d, hn::IsNaN(v));
  const BitVec half = hn::IfThenElse(is_nan, hn::Or(upper, hn::Set(d, 0x40)), rounded);
  return Narrow(hn::BitCast(IntLanes(), half));
}

HWY_INLINE FloatVec BF16ToF32(HalfVec halves) {
  return hn::BitCast(Lanes(), hn::ShiftLeft<16>(Widen(halves)));
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_LANES_HALF_INL_H_
