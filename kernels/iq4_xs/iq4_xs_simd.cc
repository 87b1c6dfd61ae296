#include "kernels/iq4_xs/iq4_xs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq4_xs/iq4_xs_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/iq4_levels/iq4_levels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Lane = sub-block for the search; the codes, which have no order, along the values.
HWY_INLINE void EncodeBatchIQ4XS(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights,
                                 BlockIQ4XS* HWY_RESTRICT blocks) {
  constexpr size_t kSubBlocks = BlockIQ4XS::kSubBlocks;
  HWY_ALIGN float scales[kSubBlocks * kLanes];
  for (size_t j = 0; j < kSubBlocks * kLanes; j += kLanes) {
    HWY_ALIGN float runs[kIQ4Run], w[kIQ4Run];
    LoadRuns<kIQ4Values>(x + j * kIQ4Values, runs);
    LoadRuns<kIQ4Values>(weights + j * kIQ4Values, w);
    hn::Store(SearchIQ4(runs, w), Lanes(), scales + j);
  }
  for (size_t b = 0; b < kLanes; ++b) {
    float inverses[kSubBlocks];
    EncodeScales(scales + b * kSubBlocks, inverses, blocks[b]);
    for (size_t j = 0; j < kSubBlocks; ++j) {
      EncodeIQ4Nibbles(x + (b * kSubBlocks + j) * kIQ4Values, inverses[j],
                       blocks[b].nibbles + j * kIQ4Values / 2);
    }
  }
}

void EncodeIQ4XS(const float* x, const float* importance, size_t rows, size_t cols,
                 std::byte* out) {
  EncodeIQ4Batches<BlockIQ4XS, EncodeBlockIQ4XS, EncodeWeighedBlockIQ4XS>(x, importance, rows, cols,
                                                                          out, EncodeBatchIQ4XS);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeIQ4XS);

void EncodeIQ4XSSimd(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeIQ4XS)(x, importance, rows, cols, out);
}

}  // namespace quantized::kernels
#endif
