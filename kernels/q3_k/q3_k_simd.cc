#include "kernels/q3_k/q3_k.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q3_k/q3_k_simd.cc"
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/requantize-inl.h"
#include "kernels/search/descent-inl.h"
#include "kernels/search/importance-inl.h"
#include "kernels/search/symmetric-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Blocks that are searched together.
inline constexpr size_t kBatchQ3K = 8;

// The codes of a block with scales, packed. keep(j, codes): gives those of the search for sub-block
// j, whose scale became 0.
template <class Keep>
HWY_INLINE void RoundCodesQ3K(const float* HWY_RESTRICT x, const Keep& keep, BlockQ3K& block) {
  constexpr size_t kSubValues = BlockQ3K::kSubValues;
  constexpr int kLevels = BlockQ3K::kLevels;
  uint8_t codes[BlockQ3K::kValues];
  for (size_t j = 0; j < BlockQ3K::kSubBlocks; ++j) {
    uint8_t* sub_codes = codes + j * kSubValues;
    const float scale = ScaleOf(block, static_cast<int>(j));
    if (scale != 0) {
      RoundQuotients<kSubValues>(x + j * kSubValues, 0.0f, scale, -kLevels, kLevels - 1, sub_codes);
    } else {
      keep(j, sub_codes);
    }
  }
  PackCodes(codes, block);
}

void EncodeQ3K(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  constexpr size_t kSubValues = BlockQ3K::kSubValues, kSubBlocks = BlockQ3K::kSubBlocks;
  constexpr int kLevels = BlockQ3K::kLevels;
  const auto batch = [&](size_t first) HWY_ATTR {
    float scales[kBatchQ3K * kSubBlocks];
    SearchDescent<kSubValues, kLevels, kBatchQ3K * kSubBlocks>(x + first * BlockQ3K::kValues,
                                                               scales);
    for (size_t b = 0; b < kBatchQ3K; ++b) {
      const float* block_x = x + (first + b) * BlockQ3K::kValues;
      BlockQ3K block;
      EncodeScales(scales + b * kSubBlocks, block);
      const auto keep = [&](size_t j, uint8_t* codes) {
        kernels::SearchDescent<kSubValues, kLevels>(block_x + j * kSubValues, codes);
      };
      RoundCodesQ3K(block_x, keep, block);
      std::memcpy(out + (first + b) * sizeof(block), &block, sizeof(block));
    }
  };
  const auto single = [&](size_t b) {
    BlockQ3K block;
    EncodeBlockQ3K(x + b * BlockQ3K::kValues, block);
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  };
  ForEachBatch<kBatchQ3K>(blocks, batch, single);
}

// kLanes blocks at `x`, whose values have the weights at `weights`.
HWY_INLINE void EncodeWeighedBatchQ3K(const float* HWY_RESTRICT x,
                                      const float* HWY_RESTRICT weights,
                                      BlockQ3K (&blocks)[kLanes]) {
  constexpr size_t kSubValues = BlockQ3K::kSubValues, kSubBlocks = BlockQ3K::kSubBlocks;
  constexpr size_t kCount = kSubBlocks * kLanes;
  const Lanes d;
  // Of the sub-blocks, one block after the other; then with one block per lane.
  HWY_ALIGN float scale[kCount], weight[kCount], inverse[kCount];
  for (size_t j = 0; j < kCount; j += kLanes) {
    HWY_ALIGN float runs[kSubValues * kLanes], w[kSubValues * kLanes];
    LoadRuns<kSubValues>(x + j * kSubValues, runs);
    LoadRuns<kSubValues>(weights + j * kSubValues, w);
    const SymmetricResult found = SearchSymmetric<kSubValues, BlockQ3K::kLevels>(runs, w);
    hn::Store(found.scale, d, scale + j);
    hn::Store(found.inverse, d, inverse + j);
    hn::Store(SumsOfRuns<kSubValues>(w), d, weight + j);
  }
  HWY_ALIGN float scale_runs[kCount], weight_runs[kCount], factors[kLanes];
  TransposeRuns<kSubBlocks>(scale, scale_runs);
  TransposeRuns<kSubBlocks>(weight, weight_runs);
  const SymmetricResult found =
      SearchSymmetric<kSubBlocks, BlockQ3K::kScaleLevels, /*kWraps=*/true>(scale_runs, weight_runs);
  hn::Store(found.scale, d, factors);
  uint8_t code_runs[kCount];
  StoreSymmetricCodes<kSubBlocks, BlockQ3K::kScaleLevels>(scale_runs, found, code_runs);
  for (size_t b = 0; b < kLanes; ++b) {
    const float* block_x = x + b * BlockQ3K::kValues;
    uint8_t scale_codes[kSubBlocks];
    for (size_t j = 0; j < kSubBlocks; ++j) scale_codes[j] = code_runs[j * kLanes + b];
    blocks[b].d = kernels::F32ToF16(factors[b]);
    PackScales(scale_codes, blocks[b]);
    const auto keep = [&](size_t j, uint8_t* codes) HWY_ATTR {
      RoundSymmetric<kSubValues, BlockQ3K::kLevels>(block_x + j * kSubValues,
                                                    inverse[b * kSubBlocks + j], codes);
    };
    RoundCodesQ3K(block_x, keep, blocks[b]);
  }
}

void EncodeWeighedQ3K(const float* x, const float* importance, size_t rows, size_t cols,
                      std::byte* out) {
  EncodeWeighedBatches<BlockQ3K, EncodeWeighedBlockQ3K>(
      x, importance, rows, cols, out,
      [](const float* batch_x, const float* weights, BlockQ3K(&blocks)[kLanes])
          HWY_ATTR { EncodeWeighedBatchQ3K(batch_x, weights, blocks); });
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ3K);
HWY_EXPORT(EncodeWeighedQ3K);

void EncodeQ3KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance != nullptr) {
    return HWY_DYNAMIC_DISPATCH(EncodeWeighedQ3K)(x, importance, rows, cols, out);
  }
  HWY_DYNAMIC_DISPATCH(EncodeQ3K)(x, BlockCount<BlockQ3K>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
