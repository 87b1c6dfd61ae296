#include "kernels/tq1_0/tq1_0.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tq1_0/tq1_0_simd.cc"

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/ternary/ternary-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// The factor that stands for the division by 243 of FractionTQ1_0.
inline constexpr int kFactorTQ1_0 = 8631, kShiftTQ1_0 = 13, kRoundTQ1_0 = 8100;

constexpr bool FactorIsRight() {
  for (int number = 0; number < 243; ++number) {
    if ((number * kFactorTQ1_0 + kRoundTQ1_0) >> kShiftTQ1_0 != FractionTQ1_0(number)) return false;
  }
  return true;
}
static_assert(FactorIsRight());

// The bytes of run kRun. D has no more lanes than the run has bytes.
template <int kRun, class D>
HWY_INLINE void EncodeRun(D d, const float* HWY_RESTRICT x, float inverse, BlockTQ1_0& block) {
  constexpr DigitRunTQ1_0 kDigits = RunTQ1_0(kRun);
  constexpr size_t kStep = kDigits.step, kFirst = kDigits.first, kBegin = kDigits.begin;
  const hn::Rebind<int32_t, D> di;
  const hn::Rebind<uint8_t, D> bytes;
  for (size_t m = 0; m < kStep; m += hn::Lanes(d)) {
    auto number = hn::Zero(di);
    for (size_t n = 0; n < 5; ++n) {
      number = hn::Add(number, hn::Add(number, number));
      if (n < kDigits.digits) {
        number = hn::Add(number, TernaryDigits(d, x + kFirst + kStep * n + m, inverse));
      }
    }
    // A code is a digit and 1, and the digits of missing values are 0.
    number = hn::Add(number, hn::Set(di, kDigits.digits == 5 ? 121 : 120));
    const auto fraction = hn::ShiftRight<kShiftTQ1_0>(
        hn::Add(hn::Mul(number, hn::Set(di, kFactorTQ1_0)), hn::Set(di, kRoundTQ1_0)));
    hn::StoreU(hn::DemoteTo(bytes, fraction), bytes, block.digits + kBegin + m);
  }
}

// Lane = block for the scales; the codes of a block, which have no order, along its values.
void EncodeTQ1_0(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockTQ1_0::kValues;
  const auto batch = [](const float* values, BlockTQ1_0* encoded) HWY_ATTR {
    const TernaryScales scales = TernaryScalesOf<kValues>(values);
    for (size_t b = 0; b < kLanes; ++b) {
      const float* block_values = values + b * kValues;
      BlockTQ1_0& block = encoded[b];
      block.d = scales.scale[b];
      EncodeRun<0>(Lanes(), block_values, scales.inverse[b], block);
      EncodeRun<1>(Lanes(), block_values, scales.inverse[b], block);
      EncodeRun<2>(hn::CappedTag<float, 4>(), block_values, scales.inverse[b], block);
    }
  };
  EncodeBatches<BlockTQ1_0, EncodeBlockTQ1_0>(x, blocks, out, batch);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeTQ1_0);

void EncodeTQ1_0Simd(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                     std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeTQ1_0)(x, BlockCount<BlockTQ1_0>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
