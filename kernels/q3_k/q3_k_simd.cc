#include "kernels/q3_k/q3_k.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q3_k/q3_k_simd.cc"
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/requantize-inl.h"
#include "kernels/search/descent-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// At least four vectors of sub-blocks, and at least one block.
inline constexpr size_t kGroupsQ3K = kLanes >= 4 ? 4 : BlockQ3K::kSubBlocks / kLanes;
inline constexpr size_t kSubBlocksQ3K = kGroupsQ3K * kLanes;
inline constexpr size_t kBatchQ3K = kSubBlocksQ3K / BlockQ3K::kSubBlocks;

// Block `b` of the batch, whose values are at `x`.
void FinishQ3K(const float* HWY_RESTRICT x, const float* HWY_RESTRICT scales,
               const uint8_t* HWY_RESTRICT found, size_t b, BlockQ3K& block) {
  constexpr size_t kSubValues = BlockQ3K::kSubValues, kSubBlocks = BlockQ3K::kSubBlocks;
  EncodeScales(scales + b * kSubBlocks, block);
  uint8_t codes[BlockQ3K::kValues];
  for (size_t j = 0; j < kSubBlocks; ++j) {
    uint8_t* sub_codes = codes + j * kSubValues;
    const float scale = ScaleOf(block, static_cast<int>(j));
    if (scale != 0) {
      RoundQuotients<kSubValues>(x + j * kSubValues, 0.0f, scale, -BlockQ3K::kLevels,
                                 BlockQ3K::kLevels - 1, sub_codes);
    } else {
      for (size_t i = 0; i < kSubValues; ++i) {
        sub_codes[i] = found[i * kSubBlocksQ3K + b * kSubBlocks + j];
      }
    }
  }
  PackCodes(codes, block);
}

void EncodeQ3K(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  const auto batch = [&](size_t first) HWY_ATTR {
    float scales[kSubBlocksQ3K];
    uint8_t found[kSubBlocksQ3K * BlockQ3K::kSubValues];
    SearchDescent<BlockQ3K::kSubValues, BlockQ3K::kLevels, kGroupsQ3K>(
        x + first * BlockQ3K::kValues, scales, found);
    for (size_t b = 0; b < kBatchQ3K; ++b) {
      BlockQ3K block;
      FinishQ3K(x + (first + b) * BlockQ3K::kValues, scales, found, b, block);
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

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ3K);

void EncodeQ3KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance != nullptr) return EncodeQ3KRef(x, importance, rows, cols, out);
  HWY_DYNAMIC_DISPATCH(EncodeQ3K)(x, BlockCount<BlockQ3K>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
