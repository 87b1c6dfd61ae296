#include "kernels/tq2_0/tq2_0.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tq2_0/tq2_0_simd.cc"

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/ternary/ternary-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Lane = block for the scales; the codes of a block, which have no order, along its values.
void EncodeTQ2_0(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockTQ2_0::kValues;
  const auto batch = [](const float* values, BlockTQ2_0* encoded) HWY_ATTR {
    const Lanes d;
    const IntLanes di;
    const TernaryScales scales = TernaryScalesOf<kValues>(values);
    for (size_t b = 0; b < kLanes; ++b) {
      BlockTQ2_0& block = encoded[b];
      block.d = scales.scale[b];
      const auto digits = [&](size_t i) HWY_ATTR {
        return TernaryDigits(d, values + b * kValues + i, scales.inverse[b]);
      };
      for (size_t half = 0; half < 2; ++half) {
        for (size_t l = 0; l < 32; l += kLanes) {
          const size_t i = 128 * half + l;
          const IntVec low = hn::Add(digits(i), hn::ShiftLeft<2>(digits(i + 32)));
          const IntVec high = hn::Add(digits(i + 64), hn::ShiftLeft<2>(digits(i + 96)));
          const IntVec sum = hn::Add(low, hn::ShiftLeft<4>(high));
          // A code is a digit and 1.
          StoreBytes(hn::Add(sum, hn::Set(di, 0b01010101)), block.codes + 32 * half + l);
        }
      }
    }
  };
  EncodeBatches<BlockTQ2_0, EncodeBlockTQ2_0>(x, blocks, out, batch);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeTQ2_0);

void EncodeTQ2_0Simd(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                     std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeTQ2_0)(x, BlockCount<BlockTQ2_0>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
