#include "kernels/iq4_nl/iq4_nl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq4_nl/iq4_nl_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/iq4_levels/iq4_levels-inl.h"
#include "kernels/lanes/half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Lane = block for the search; the codes of a block, which have no order, along its values.
HWY_INLINE void EncodeBatchIQ4NL(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights,
                                 BlockIQ4NL* HWY_RESTRICT blocks) {
  const Lanes d;
  HWY_ALIGN float runs[kIQ4Run], w[kIQ4Run];
  LoadRuns<kIQ4Values>(x, runs);
  LoadRuns<kIQ4Values>(weights, w);
  const FloatVec scale = SearchIQ4(runs, w);
  // The inverse of a NaN is NaN: it is not equal to 0.
  const LaneMask none = hn::Eq(scale, hn::Zero(d));
  HWY_ALIGN float inverse[kLanes];
  HWY_ALIGN uint16_t half[kLanes];
  hn::Store(hn::IfThenZeroElse(none, hn::Div(SetAll(1.0f), scale)), d, inverse);
  hn::Store(F32ToF16(scale), HalfLanes(), half);
  for (size_t b = 0; b < kLanes; ++b) {
    blocks[b].d = half[b];
    EncodeIQ4Nibbles(x + b * kIQ4Values, inverse[b], blocks[b].nibbles);
  }
}

void EncodeIQ4NL(const float* x, const float* importance, size_t rows, size_t cols,
                 std::byte* out) {
  EncodeIQ4Batches<BlockIQ4NL, EncodeBlockIQ4NL, EncodeWeighedBlockIQ4NL>(x, importance, rows, cols,
                                                                          out, EncodeBatchIQ4NL);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeIQ4NL);

void EncodeIQ4NLSimd(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeIQ4NL)(x, importance, rows, cols, out);
}

}  // namespace quantized::kernels
#endif
