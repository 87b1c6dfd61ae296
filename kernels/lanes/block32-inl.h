// What the blocks of 32 values with 4- and 5-bit codes share: Q4_0, Q4_1, Q5_0, Q5_1.

#if defined(QUANTIZED_KERNELS_LANES_BLOCK32_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_LANES_BLOCK32_INL_H_
#undef QUANTIZED_KERNELS_LANES_BLOCK32_INL_H_
#else
#define QUANTIZED_KERNELS_LANES_BLOCK32_INL_H_
#endif

#include <cstring>

#include "kernels/lanes/extremes-inl.h"
#include "kernels/lanes/half-inl.h"
#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// How kLanes blocks turn values into codes: min(trunc((x - min) * inverse + offset), largest code).
struct Coding32 {
  HWY_ALIGN float min[kLanes];
  HWY_ALIGN float inverse[kLanes];
  HWY_ALIGN float offset[kLanes];
  HWY_ALIGN uint16_t scale[kLanes];  // f16
};

// From the scales and what is added before truncation. Where a scale is 0 so is its inverse. Where
// the inverse overflows, all codes are 0.
HWY_INLINE Coding32 CodingOf(FloatVec scale, FloatVec min, float offset) {
  const Lanes d;
  const FloatVec inverse =
      hn::IfThenElseZero(hn::Ne(scale, hn::Zero(d)), hn::Div(SetAll(1.0f), scale));
  const LaneMask overflow = hn::IsInf(inverse);
  Coding32 coding;
  hn::Store(min, d, coding.min);
  hn::Store(hn::IfThenZeroElse(overflow, inverse), d, coding.inverse);
  hn::Store(hn::IfThenZeroElse(overflow, SetAll(offset)), d, coding.offset);
  hn::Store(F32ToF16(scale), HalfLanes(), coding.scale);
  return coding;
}

// The fifth bits of the codes, the first lane's in bit 0.
HWY_INLINE uint32_t FifthBits(IntVec codes) {
  return MaskBits(IntLanes(), hn::Gt(codes, hn::Set(IntLanes(), 15)));
}

// Writes the codes of a block with coding `b`: its nibbles and, if it has them, its fifth bits.
template <class Block>
HWY_INLINE void StoreCodes(const float* HWY_RESTRICT x, const Coding32& coding, size_t b,
                           Block& block) {
  constexpr bool kFiveBits = requires { block.high; };
  constexpr size_t kHalf = Block::kValues / 2;
  const IntVec nibble = hn::Set(IntLanes(), 15),
               max_code = hn::Set(IntLanes(), kFiveBits ? 31 : 15);
  const FloatVec min = SetAll(coding.min[b]), inverse = SetAll(coding.inverse[b]);
  const FloatVec offset = SetAll(coding.offset[b]);
  const auto codes = [&](size_t i) HWY_ATTR {
    const FloatVec above = hn::Sub(hn::LoadU(Lanes(), x + i), min);
    return hn::Min(Truncate(hn::Add(hn::Mul(above, inverse), offset)), max_code);
  };
  uint32_t high = 0;
  for (size_t i = 0; i < kHalf; i += kLanes) {
    const IntVec low_codes = codes(i), high_codes = codes(kHalf + i);
    StoreBytes(hn::Or(hn::And(low_codes, nibble), hn::ShiftLeft<4>(hn::And(high_codes, nibble))),
               block.nibbles + i);
    if constexpr (kFiveBits) {
      high |= FifthBits(low_codes) << i | FifthBits(high_codes) << (kHalf + i);
    }
  }
  if constexpr (kFiveBits) std::memcpy(block.high, &high, sizeof(high));
}

// kLanes blocks of Q4_0 or Q5_0.
template <class Block>
HWY_INLINE void EncodeSymmetricBatch(const float* HWY_RESTRICT x, Block* HWY_RESTRICT blocks) {
  constexpr float kLevels = Block::kLevels;
  const FloatVec scale = hn::Div(FirstLargestOfRuns<Block::kValues>(x), SetAll(-kLevels));
  const Coding32 coding = CodingOf(scale, hn::Zero(Lanes()), kLevels + 0.5f);
  for (size_t b = 0; b < kLanes; ++b) {
    blocks[b].d = coding.scale[b];
    StoreCodes(x + b * Block::kValues, coding, b, blocks[b]);
  }
}

// kLanes blocks of Q4_1 or Q5_1.
template <class Block>
HWY_INLINE void EncodeAffineBatch(const float* HWY_RESTRICT x, Block* HWY_RESTRICT blocks) {
  const Span span = SpanOfRuns<Block::kValues>(x);
  const FloatVec scale = hn::Div(hn::Sub(span.max, span.min), SetAll(Block::kMaxCode));
  const Coding32 coding = CodingOf(scale, span.min, 0.5f);
  HWY_ALIGN uint16_t minima[kLanes];
  hn::Store(F32ToF16(span.min), HalfLanes(), minima);
  for (size_t b = 0; b < kLanes; ++b) {
    blocks[b].d = coding.scale[b];
    blocks[b].m = minima[b];
    StoreCodes(x + b * Block::kValues, coding, b, blocks[b]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_LANES_BLOCK32_INL_H_
