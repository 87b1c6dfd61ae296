#include "kernels/q5_0/q5_0.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q5_0/q5_0_simd.cc"
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/extremes-inl.h"
#include "kernels/lanes/half-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// The codes of values x[0] … x[kLanes - 1].
HWY_INLINE IntVec CodesQ5_0(const float* HWY_RESTRICT x, FloatVec inverse, FloatVec offset) {
  const FloatVec scaled = hn::Add(hn::Mul(hn::LoadU(Lanes(), x), inverse), offset);
  return hn::Min(Truncate(scaled), hn::Set(IntLanes(), 31));
}

// The fifth bits of the codes, the first lane's in bit 0.
HWY_INLINE uint32_t FifthBits(IntVec codes) {
  uint8_t bytes[8] = {};
  hn::StoreMaskBits(IntLanes(), hn::Gt(codes, hn::Set(IntLanes(), 15)), bytes);
  uint32_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return bits;
}

HWY_INLINE void CodesOfBlock(const float* HWY_RESTRICT x, FloatVec inverse, FloatVec offset,
                             BlockQ5_0& block) {
  constexpr size_t kHalf = BlockQ5_0::kValues / 2;
  const IntVec nibble = hn::Set(IntLanes(), 15);
  uint32_t high = 0;
  for (size_t i = 0; i < kHalf; i += kLanes) {
    const IntVec low_codes = CodesQ5_0(x + i, inverse, offset);
    const IntVec high_codes = CodesQ5_0(x + kHalf + i, inverse, offset);
    StoreBytes(hn::Or(hn::And(low_codes, nibble), hn::ShiftLeft<4>(hn::And(high_codes, nibble))),
               block.nibbles + i);
    high |= FifthBits(low_codes) << i | FifthBits(high_codes) << (kHalf + i);
  }
  std::memcpy(block.high, &high, sizeof(high));
}

// Lane = block for the scale; the codes of a block, which have no order, along its values.
void EncodeQ5_0(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockQ5_0::kValues;
  const auto batch = [&](size_t first) HWY_ATTR {
    const Lanes d;
    const FloatVec scale =
        hn::Div(FirstLargestOfRuns<kValues>(x + first * kValues), SetAll(-16.0f));
    const FloatVec factor =
        hn::IfThenElseZero(hn::Ne(scale, hn::Zero(d)), hn::Div(SetAll(1.0f), scale));
    // Where the inverse overflows all codes are 0.
    const LaneMask overflow = hn::IsInf(factor);
    HWY_ALIGN float inverse[kLanes], offset[kLanes];
    HWY_ALIGN uint16_t halves[kLanes];
    hn::Store(hn::IfThenZeroElse(overflow, factor), d, inverse);
    hn::Store(hn::IfThenZeroElse(overflow, SetAll(16.5f)), d, offset);
    hn::Store(F32ToF16(scale), HalfLanes(), halves);
    for (size_t b = 0; b < kLanes; ++b) {
      BlockQ5_0 block;
      block.d = halves[b];
      CodesOfBlock(x + (first + b) * kValues, SetAll(inverse[b]), SetAll(offset[b]), block);
      std::memcpy(out + (first + b) * sizeof(block), &block, sizeof(block));
    }
  };
  const auto single = [&](size_t b) {
    BlockQ5_0 block;
    EncodeBlockQ5_0(x + b * kValues, block);
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  };
  ForEachBatch<kLanes>(blocks, batch, single);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ5_0);

void EncodeQ5_0Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  RefuseImportance(importance);
  HWY_DYNAMIC_DISPATCH(EncodeQ5_0)(x, BlockCount<BlockQ5_0>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
