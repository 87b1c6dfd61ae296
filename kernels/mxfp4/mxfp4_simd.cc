#include "kernels/mxfp4/mxfp4.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/mxfp4/mxfp4_simd.cc"

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/fp4/fp4-inl.h"
#include "kernels/lanes/extremes-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Where the values are at most 2^127, no middle that matters overflows (see Fp4Middles); NaN is
// beyond it, too.
HWY_INLINE bool InRange(float largest) { return largest < 0x1p127f; }

// Lane = block for the scales; the codes of a block, which have no order, along its values.
void EncodeMXFP4(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockMXFP4::kValues;
  const auto batch = [](const float* values, BlockMXFP4* encoded) HWY_ATTR {
    const Lanes d;
    HWY_ALIGN float largest[kLanes], scales[kLanes];
    hn::Store(MaxMagnitudeOfRuns<kValues>(values), d, largest);
    for (size_t b = 0; b < kLanes; ++b) {
      encoded[b].e = ExponentMXFP4(largest[b]);
      scales[b] = ScaleMXFP4(encoded[b].e);
    }
    Fp4Middles middles;
    StoreMiddles(hn::Load(d, scales), middles);
    for (size_t b = 0; b < kLanes; ++b) {
      const float* block_values = values + b * kValues;
      if (HWY_LIKELY(InRange(largest[b]))) {
        EncodeFp4<kValues>(block_values, middles, b, encoded[b].nibbles);
      } else {
        EncodeBlockMXFP4(block_values, encoded[b]);
      }
    }
  };
  EncodeBatches<BlockMXFP4, EncodeBlockMXFP4>(x, blocks, out, batch);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeMXFP4);

void EncodeMXFP4Simd(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                     std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeMXFP4)(x, BlockCount<BlockMXFP4>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
