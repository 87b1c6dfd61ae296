#include "kernels/q8_0/q8_0.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q8_0/q8_0_simd.cc"

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/extremes-inl.h"
#include "kernels/lanes/half-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Half away from zero, then towards zero. The largest float below a half is added so that the sum
// does not round up to the next integer from below; exact for |v| < 2^22.
HWY_INLINE IntVec RoundHalfAway(FloatVec v) {
  return Truncate(hn::Add(v, hn::CopySign(SetAll(0x1.fffffep-2f), v)));
}

// Lane = block for the scale; the codes of a block, which have no order, along its values.
void EncodeQ8_0(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockQ8_0::kValues;
  const auto batch = [](const float* values, BlockQ8_0* encoded) HWY_ATTR {
    const Lanes d;
    const FloatVec scale = hn::Div(MaxMagnitudeOfRuns<kValues>(values), SetAll(127.0f));
    FloatVec factor = hn::IfThenElseZero(hn::Ne(scale, hn::Zero(d)), hn::Div(SetAll(1.0f), scale));
    factor = hn::IfThenZeroElse(hn::IsInf(factor), factor);
    HWY_ALIGN float inverse[kLanes];
    HWY_ALIGN uint16_t halves[kLanes];
    hn::Store(factor, d, inverse);
    hn::Store(F32ToF16(scale), HalfLanes(), halves);
    for (size_t b = 0; b < kLanes; ++b) {
      BlockQ8_0& block = encoded[b];
      block.d = halves[b];
      for (size_t i = 0; i < kValues; i += kLanes) {
        const FloatVec v = hn::LoadU(d, values + b * kValues + i);
        const IntVec q = RoundHalfAway(hn::Mul(v, SetAll(inverse[b])));
        const hn::Rebind<int8_t, Lanes> di8;
        hn::StoreU(hn::DemoteTo(di8, q), di8, block.q + i);
      }
    }
  };
  EncodeBatches<BlockQ8_0, EncodeBlockQ8_0>(x, blocks, out, batch);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ8_0);

void EncodeQ8_0Simd(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                    std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeQ8_0)(x, BlockCount<BlockQ8_0>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
