#include "kernels/q6_k/q6_k.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q6_k/q6_k_simd.cc"
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/requantize-inl.h"
#include "kernels/search/symmetric-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeOneQ6K(const float* HWY_RESTRICT x, BlockQ6K& block) {
  constexpr size_t kSubValues = BlockQ6K::kSubValues, kSubBlocks = BlockQ6K::kSubBlocks;
  constexpr int kLow = -BlockQ6K::kLevels, kHigh = BlockQ6K::kLevels - 1;
  HWY_ALIGN float scales[kSubBlocks], inverse[kSubBlocks];
  for (size_t j = 0; j < kSubBlocks; j += kLanes) {
    HWY_ALIGN float runs[kSubValues * kLanes];
    LoadRuns<kSubValues>(x + j * kSubValues, runs);
    const SymmetricResult found = SearchSymmetric<kSubValues, BlockQ6K::kLevels>(runs);
    hn::Store(found.scale, Lanes(), scales + j);
    hn::Store(found.inverse, Lanes(), inverse + j);
  }
  if (!EncodeScales(scales, block)) {
    block = {};
    return;
  }
  uint8_t codes[BlockQ6K::kValues];
  for (size_t j = 0; j < kSubBlocks; ++j) {
    const float* sub_x = x + j * kSubValues;
    uint8_t* sub_codes = codes + j * kSubValues;
    const float scale = ScaleOf(block, static_cast<int>(j));
    if (scale != 0) {
      RoundQuotients<kSubValues>(sub_x, 0.0f, scale, kLow, kHigh, sub_codes);
    } else if (inverse[j] != 0) {
      RoundProducts<kSubValues>(sub_x, 0.0f, inverse[j], kLow, kHigh, sub_codes);
    } else {
      std::memset(sub_codes, 0, kSubValues);
    }
  }
  PackCodes(codes, block);
}

void EncodeQ6K(const float* x, size_t blocks, std::byte* out) {
  for (size_t b = 0; b < blocks; ++b) {
    BlockQ6K block;
    EncodeOneQ6K(x + b * BlockQ6K::kValues, block);
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ6K);

void EncodeQ6KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance != nullptr) return EncodeQ6KRef(x, importance, rows, cols, out);
  HWY_DYNAMIC_DISPATCH(EncodeQ6K)(x, BlockCount<BlockQ6K>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
