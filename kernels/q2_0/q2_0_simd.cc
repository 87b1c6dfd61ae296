#include "kernels/q2_0/q2_0.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q2_0/q2_0_simd.cc"
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/ternary/ternary-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Bit j becomes bit 2j.
HWY_INLINE uint64_t SpreadBits(uint32_t bits) {
  uint64_t spread = bits;
  spread = (spread | spread << 16) & 0x0000FFFF0000FFFF;
  spread = (spread | spread << 8) & 0x00FF00FF00FF00FF;
  spread = (spread | spread << 4) & 0x0F0F0F0F0F0F0F0F;
  spread = (spread | spread << 2) & 0x3333333333333333;
  return (spread | spread << 1) & 0x5555555555555555;
}

// The codes of 32 values, two bits each.
HWY_INLINE uint64_t CodeBits(const float* HWY_RESTRICT x, float inverse) {
  const IntLanes di;
  uint32_t ones = 0, twos = 0;
  for (size_t i = 0; i < 32; i += kLanes) {
    const IntVec digits = TernaryDigits(Lanes(), x + i, inverse);
    ones |= MaskBits(di, hn::Eq(digits, hn::Zero(di))) << i;
    twos |= MaskBits(di, hn::Gt(digits, hn::Zero(di))) << i;
  }
  return SpreadBits(ones) | SpreadBits(twos) << 1;
}

// Lane = block for the scales; the codes of a block, which have no order, along its values.
void EncodeQ2_0(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockQ2_0::kValues;
  const auto batch = [](const float* values, BlockQ2_0* encoded) HWY_ATTR {
    const TernaryScales scales = TernaryScalesOf<kValues>(values);
    const uint32_t overflow = MaskBits(Lanes(), scales.overflow);
    for (size_t b = 0; b < kLanes; ++b) {
      BlockQ2_0& block = encoded[b];
      block.d = scales.scale[b];
      for (size_t i = 0; i < kValues; i += 32) {
        uint64_t bits = CodeBits(values + b * kValues + i, scales.inverse[b]);
        if (HWY_UNLIKELY(overflow >> b & 1)) bits = 0;
        std::memcpy(block.codes + i / 4, &bits, sizeof(bits));
      }
    }
  };
  EncodeBatches<BlockQ2_0, EncodeBlockQ2_0>(x, blocks, out, batch);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ2_0);

void EncodeQ2_0Simd(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                    std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeQ2_0)(x, BlockCount<BlockQ2_0>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
