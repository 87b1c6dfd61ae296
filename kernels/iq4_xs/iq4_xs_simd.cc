#include "kernels/iq4_xs/iq4_xs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq4_xs/iq4_xs_simd.cc"
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/iq4_levels/iq4_levels-inl.h"
#include "kernels/lanes/sums-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// The scales of the sub-blocks of kLanes blocks, kLanes sub-blocks at a time. importance_at(b):
// that of block b, if any.
template <class ImportanceAt>
HWY_INLINE void ScalesIQ4XS(const float* HWY_RESTRICT x, bool weighed,
                            const ImportanceAt& importance_at, float* HWY_RESTRICT scales) {
  constexpr size_t kSubBlocks = BlockIQ4XS::kSubBlocks, kValues = BlockIQ4XS::kValues;
  const Lanes d;
  float mean_squares[kLanes];
  if (weighed) {
    const FloatVec sums = SumsOfRuns<kValues>(x, SquareTerm());
    hn::StoreU(hn::Mul(sums, SetAll(2.0f / kValues)), d, mean_squares);
  }
  for (size_t first = 0; first < kSubBlocks * kLanes; first += kLanes) {
    HWY_ALIGN float runs[kIQ4Run], weights[kIQ4Run];
    LoadRuns<kIQ4Values>(x + first * kIQ4Values, runs);
    if (weighed) {
      HWY_ALIGN float mean_square[kLanes];
      for (size_t j = 0; j < kLanes; ++j) mean_square[j] = mean_squares[(first + j) / kSubBlocks];
      const auto importance_of_sub_block = [&](size_t j) {
        return importance_at((first + j) / kSubBlocks) + (first + j) % kSubBlocks * kIQ4Values;
      };
      LoadRunsFrom<kIQ4Values>(importance_of_sub_block, weights);
      WeighIQ4Runs(runs, hn::Load(d, mean_square), weights);
    } else {
      WeighIQ4Runs(runs, weights);
    }
    hn::StoreU(SearchIQ4(runs, weights), d, scales + first);
  }
}

// The block at `x` whose sub-blocks have these scales: codes, which have no order, along the
// values.
HWY_INLINE void FinishIQ4XS(const float* HWY_RESTRICT x, const float* HWY_RESTRICT scales,
                            BlockIQ4XS& block) {
  float inverses[BlockIQ4XS::kSubBlocks];
  EncodeScales(scales, inverses, block);
  for (size_t j = 0; j < BlockIQ4XS::kSubBlocks; ++j) {
    EncodeIQ4Nibbles(x + j * kIQ4Values, inverses[j], block.nibbles + j * kIQ4Values / 2);
  }
}

void EncodeIQ4XS(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance, size_t rows,
                 size_t cols, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockIQ4XS::kValues, kSubBlocks = BlockIQ4XS::kSubBlocks;
  const auto importance_of = [importance, cols](size_t block) {
    return importance + block * kValues % cols;
  };
  const auto batch = [&](size_t first) HWY_ATTR {
    float scales[kSubBlocks * kLanes];
    ScalesIQ4XS(
        x + first * kValues, importance != nullptr,
        [&](size_t b) { return importance_of(first + b); }, scales);
    for (size_t b = 0; b < kLanes; ++b) {
      BlockIQ4XS block;
      FinishIQ4XS(x + (first + b) * kValues, scales + b * kSubBlocks, block);
      std::memcpy(out + (first + b) * sizeof(block), &block, sizeof(block));
    }
  };
  const auto single = [&](size_t b) {
    BlockIQ4XS block;
    if (importance != nullptr) {
      EncodeWeighedBlockIQ4XS(x + b * kValues, importance_of(b), block);
    } else {
      EncodeBlockIQ4XS(x + b * kValues, block);
    }
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  };
  ForEachBatch<kLanes>(BlockCount<BlockIQ4XS>(rows, cols), batch, single);
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
