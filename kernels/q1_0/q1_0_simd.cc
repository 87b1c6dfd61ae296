#include "kernels/q1_0/q1_0.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q1_0/q1_0_simd.cc"
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/half-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Lane b: the sum of magnitudes of block b, in the order of its values.
HWY_INLINE FloatVec SumsOfMagnitudes(const float* HWY_RESTRICT x) {
  HWY_ALIGN float runs[BlockQ1_0::kValues * kLanes];
  LoadRuns<BlockQ1_0::kValues>(x, runs);
  FloatVec sum = hn::Zero(Lanes());
  for (size_t i = 0; i < BlockQ1_0::kValues * kLanes; i += kLanes) {
    sum = hn::Add(sum, hn::Abs(hn::Load(Lanes(), runs + i)));
  }
  return sum;
}

// The signs of 32 values, the first in bit 0: set for x >= 0.
HWY_INLINE uint32_t SignBits(const float* HWY_RESTRICT x) {
  const Lanes d;
  uint32_t bits = 0;
  for (size_t i = 0; i < 32; i += kLanes) {
    bits |= MaskBits(d, hn::Ge(hn::LoadU(d, x + i), hn::Zero(d))) << i;
  }
  return bits;
}

// Lane = block for the sums; the signs of a block, which have no order, along its values.
void EncodeQ1_0(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockQ1_0::kValues;
  const auto batch = [](const float* values, BlockQ1_0* encoded) HWY_ATTR {
    const FloatVec sum = SumsOfMagnitudes(values);
    HWY_ALIGN uint16_t scales[kLanes];
    hn::Store(F32ToF16(hn::Div(sum, SetAll(kValues))), HalfLanes(), scales);
    for (size_t b = 0; b < kLanes; ++b) {
      BlockQ1_0& block = encoded[b];
      block.d = scales[b];
      for (size_t i = 0; i < kValues; i += 32) {
        const uint32_t bits = SignBits(values + b * kValues + i);
        std::memcpy(block.signs + i / 8, &bits, sizeof(bits));
      }
    }
  };
  EncodeBatches<BlockQ1_0, EncodeBlockQ1_0>(x, blocks, out, batch);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ1_0);

void EncodeQ1_0Simd(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                    std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeQ1_0)(x, BlockCount<BlockQ1_0>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
