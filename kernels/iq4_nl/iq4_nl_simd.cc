#include "kernels/iq4_nl/iq4_nl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq4_nl/iq4_nl_simd.cc"
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/iq4_levels/iq4_levels-inl.h"
#include "kernels/lanes/half-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// The scales of kLanes blocks. importance_at(j): that of block j, if any.
template <class ImportanceAt>
HWY_INLINE FloatVec ScalesIQ4NL(const float* HWY_RESTRICT x, bool weighed,
                                const ImportanceAt& importance_at) {
  const Lanes d;
  HWY_ALIGN float runs[kIQ4Run], weights[kIQ4Run];
  LoadRuns<kIQ4Values>(x, runs);
  if (weighed) {
    FloatVec sum = hn::Zero(d);
    for (size_t i = 0; i < kIQ4Run; i += kLanes) {
      const FloatVec xi = hn::Load(d, runs + i);
      sum = hn::Add(sum, hn::Mul(xi, xi));
    }
    LoadRunsFrom<kIQ4Values>(importance_at, weights);
    WeighIQ4Runs(runs, hn::Mul(sum, SetAll(2.0f / kIQ4Values)), weights);
  } else {
    WeighIQ4Runs(runs, weights);
  }
  return SearchIQ4(runs, weights);
}

// Lane = block for the search; the codes of a block, which have no order, along its values.
void EncodeIQ4NL(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance, size_t rows,
                 size_t cols, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockIQ4NL::kValues;
  const auto importance_of = [importance, cols](size_t block) {
    return importance + block * kValues % cols;
  };
  const auto batch = [&](size_t first) HWY_ATTR {
    const Lanes d;
    const FloatVec scale = ScalesIQ4NL(x + first * kValues, importance != nullptr,
                                       [&](size_t b) { return importance_of(first + b); });
    // The inverse of a NaN is NaN: it is not equal to 0.
    const LaneMask none = hn::Eq(scale, hn::Zero(d));
    const FloatVec inverse = hn::IfThenZeroElse(none, hn::Div(SetAll(1.0f), scale));
    HWY_ALIGN float inverses[kLanes];
    HWY_ALIGN uint16_t scales[kLanes];
    hn::Store(inverse, d, inverses);
    hn::Store(F32ToF16(scale), HalfLanes(), scales);
    for (size_t b = 0; b < kLanes; ++b) {
      BlockIQ4NL block;
      block.d = scales[b];
      EncodeIQ4Nibbles(x + (first + b) * kValues, inverses[b], block.nibbles);
      std::memcpy(out + (first + b) * sizeof(block), &block, sizeof(block));
    }
  };
  const auto single = [&](size_t b) {
    BlockIQ4NL block;
    if (importance != nullptr) {
      EncodeWeighedBlockIQ4NL(x + b * kValues, importance_of(b), block);
    } else {
      EncodeBlockIQ4NL(x + b * kValues, block);
    }
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  };
  ForEachBatch<kLanes>(BlockCount<BlockIQ4NL>(rows, cols), batch, single);
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
