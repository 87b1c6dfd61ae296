#include "kernels/nvfp4/nvfp4.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/nvfp4/nvfp4_simd.cc"
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/fp4/fp4-inl.h"
#include "kernels/lanes/extremes-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Up to here the largest scale is large enough (see Fp4Middles); NaN is beyond it, too.
HWY_INLINE bool InRange(float largest) { return largest < 12 * 224.0f; }

// kLanes sub-blocks, whole blocks together, one after the other in `x`. Lane = sub-block for the
// scales; the codes of a sub-block, which have no order, along its values.
HWY_INLINE void EncodeSubBlocks(const float* HWY_RESTRICT x, uint8_t* HWY_RESTRICT codes_of_scales,
                                uint8_t* HWY_RESTRICT nibbles) {
  constexpr size_t kSubValues = BlockNVFP4::kSubValues;
  const Lanes d;
  HWY_ALIGN float largest[kLanes], ratio[kLanes], scales[kLanes];
  const FloatVec max = MaxMagnitudeOfRuns<kSubValues>(x);
  hn::Store(max, d, largest);
  hn::Store(hn::Div(max, SetAll(6.0f)), d, ratio);
  for (size_t s = 0; s < kLanes; ++s) {
    codes_of_scales[s] = EncodeScaleNVFP4(ratio[s]);
    scales[s] = ScaleNVFP4(codes_of_scales[s]);
  }
  Fp4Middles middles;
  StoreMiddles(hn::Load(d, scales), middles);
  for (size_t s = 0; s < kLanes; ++s) {
    const float* values = x + s * kSubValues;
    uint8_t* sub_nibbles = nibbles + s * kSubValues / 2;
    if (HWY_LIKELY(InRange(largest[s]))) {
      EncodeFp4<kSubValues>(values, middles, s, sub_nibbles);
    } else {
      kernels::EncodeFp4<kSubValues>(values, scales[s], sub_nibbles);
    }
  }
}

void EncodeNVFP4(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  constexpr size_t kSubBlocks = BlockNVFP4::kSubBlocks;
  const auto batch = [](const float* values, BlockNVFP4* encoded) HWY_ATTR {
    uint8_t scales[kSubBlocks * kLanes], nibbles[BlockNVFP4::kValues / 2 * kLanes];
    for (size_t s = 0; s < kSubBlocks * kLanes; s += kLanes) {
      EncodeSubBlocks(values + s * BlockNVFP4::kSubValues, scales + s,
                      nibbles + s * BlockNVFP4::kSubValues / 2);
    }
    for (size_t b = 0; b < kLanes; ++b) {
      BlockNVFP4& block = encoded[b];
      std::memcpy(block.scales, scales + b * sizeof(block.scales), sizeof(block.scales));
      std::memcpy(block.nibbles, nibbles + b * sizeof(block.nibbles), sizeof(block.nibbles));
    }
  };
  EncodeBatches<BlockNVFP4, EncodeBlockNVFP4>(x, blocks, out, batch);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeNVFP4);

void EncodeNVFP4Simd(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                     std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeNVFP4)(x, BlockCount<BlockNVFP4>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
