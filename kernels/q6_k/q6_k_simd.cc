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

// kWeighs: with the weights at `weights`; else with x^2.
template <bool kWeighs>
void EncodeOneQ6K(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights, BlockQ6K& block) {
  constexpr size_t kSubValues = BlockQ6K::kSubValues, kSubBlocks = BlockQ6K::kSubBlocks;
  constexpr int kLevels = BlockQ6K::kLevels;
  HWY_ALIGN float scales[kSubBlocks], inverse[kSubBlocks];
  for (size_t j = 0; j < kSubBlocks; j += kLanes) {
    HWY_ALIGN float runs[kSubValues * kLanes], w[kSubValues * kLanes];
    LoadRuns<kSubValues>(x + j * kSubValues, runs);
    if constexpr (kWeighs) {
      LoadRuns<kSubValues>(weights + j * kSubValues, w);
    } else {
      SquareRuns<kSubValues>(runs, w);
    }
    const SymmetricResult found = SearchSymmetric<kSubValues, kLevels>(runs, w);
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
      RoundQuotients<kSubValues>(sub_x, 0.0f, scale, -kLevels, kLevels - 1, sub_codes);
    } else {
      RoundSymmetric<kSubValues, kLevels>(sub_x, inverse[j], sub_codes);
    }
  }
  PackCodes(codes, block);
}

// `importance` may be null.
void EncodeQ6K(const float* x, const float* importance, size_t rows, size_t cols, std::byte* out) {
  const size_t blocks = BlockCount<BlockQ6K>(rows, cols);
  for (size_t b = 0; b < blocks; ++b) {
    const size_t first = b * BlockQ6K::kValues;
    BlockQ6K block;
    if (importance != nullptr) {
      EncodeOneQ6K<true>(x + first, importance + first % cols, block);
    } else {
      EncodeOneQ6K<false>(x + first, nullptr, block);
    }
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
  HWY_DYNAMIC_DISPATCH(EncodeQ6K)(x, importance, rows, cols, out);
}

}  // namespace quantized::kernels
#endif
