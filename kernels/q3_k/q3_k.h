// Q3_K: 256 values in 16 sub-blocks of 16 with 3-bit codes; each sub-block has a signed 6-bit
// scale; they share one f16 factor. 110 bytes. A value is d * (scale[j] - 32) * (code - 4). Codes:
// for each half of 128 values, byte l (of 32) of `low` holds the low two bits of values l, l + 32,
// l + 64 and l + 96 from the low bits up; bit i / 32 of high[i % 32] is the third bit of value i.
// Scales: byte j < 8 holds the low four bits of scale j (low half) and of scale j + 8 (high half);
// byte 8 + j % 4 holds the upper two bits of scale j at bit 2 * (j / 4).
//
// Encoding: coordinate descent (kernels/search/descent.h) for each sub-block; the scale of largest
// magnitude gets the code 0, that is -32; then the codes are rounded again, against the quantized
// scales. A sub-block whose scale became 0 keeps the codes of the search.
// With importance: the symmetric search (kernels/search/symmetric.h) for each sub-block, values
// weighed by twice the block's mean square (kernels/search/importance.h), and once more for the
// scales, where a sub-block weighs as much as its values together.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/search/descent.h"
#include "kernels/search/importance.h"
#include "kernels/search/symmetric.h"
#include "kernels/types/extremes.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockQ3K {
  static constexpr int kValues = 256;
  static constexpr int kSubBlocks = 16;
  static constexpr int kSubValues = 16;
  static constexpr int kLevels = 4;
  static constexpr int kScaleLevels = 32;
  static constexpr float kMeanSquareFactor = 2;
  uint8_t high[kValues / 8];
  uint8_t low[kValues / 4];
  uint8_t scales[12];
  uint16_t d;  // f16
};
static_assert(sizeof(BlockQ3K) == 110);

// The scale of sub-block `j` as decoded.
QUANTIZED_HOST_DEVICE inline float ScaleOf(const BlockQ3K& block, int j) {
  const int low = j < 8 ? block.scales[j] & 15 : block.scales[j - 8] >> 4;
  const int high = block.scales[8 + j % 4] >> (2 * (j / 4)) & 3;
  return F16ToF32(block.d) * static_cast<float>((low | high << 4) - 32);
}

// Writes the scales, given as codes 0 … 63.
QUANTIZED_HOST_DEVICE inline void PackScales(const uint8_t* codes, BlockQ3K& block) {
  for (int j = 0; j < 8; ++j) {
    block.scales[j] = static_cast<uint8_t>((codes[j] & 15) | (codes[j + 8] & 15) << 4);
  }
  for (int j = 0; j < 4; ++j) {
    block.scales[8 + j] = static_cast<uint8_t>(codes[j] >> 4 | codes[j + 4] >> 4 << 2 |
                                               codes[j + 8] >> 4 << 4 | codes[j + 12] >> 4 << 6);
  }
}

// Writes d and scales.
QUANTIZED_HOST_DEVICE inline void EncodeScales(const float* scales, BlockQ3K& block) {
  const float largest = FirstLargest(scales, BlockQ3K::kSubBlocks);
  for (uint8_t& byte : block.scales) byte = 0;
  block.d = 0;
  if (largest == 0) return;
  const float inverse = -32.0f / largest;
  uint8_t codes[BlockQ3K::kSubBlocks];
  for (int j = 0; j < BlockQ3K::kSubBlocks; ++j) {
    // The narrowing to 8 bits comes before the clamp.
    const auto narrow = static_cast<int8_t>(NearestInt(inverse * scales[j]));
    codes[j] = static_cast<uint8_t>(Clamp(narrow, -32, 31) + 32);
  }
  PackScales(codes, block);
  block.d = F32ToF16(1 / inverse);
}

// Writes the codes, given one per byte in the order of the values.
QUANTIZED_HOST_DEVICE inline void PackCodes(const uint8_t* codes, BlockQ3K& block) {
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int g = 0; g < 8; ++g) bits |= codes[32 * g + l] >> 2 << g;
    block.high[l] = static_cast<uint8_t>(bits);
  }
  for (int half = 0; half < 2; ++half) {
    const uint8_t* from = codes + 128 * half;
    for (int l = 0; l < 32; ++l) {
      block.low[32 * half + l] =
          static_cast<uint8_t>((from[l] & 3) | (from[l + 32] & 3) << 2 | (from[l + 64] & 3) << 4 |
                               (from[l + 96] & 3) << 6);
    }
  }
}

// `codes`: those of the search.
QUANTIZED_HOST_DEVICE inline void RoundCodes(const float* x, uint8_t* codes, BlockQ3K& block) {
  for (int j = 0; j < BlockQ3K::kSubBlocks; ++j) {
    const float scale = ScaleOf(block, j);
    if (scale == 0) continue;
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      codes[i] = static_cast<uint8_t>(Clamp(NearestInt(x[i] / scale), -4, 3) + 4);
    }
  }
  PackCodes(codes, block);
}

QUANTIZED_HOST_DEVICE inline void EncodeBlockQ3K(const float* x, BlockQ3K& block) {
  uint8_t codes[BlockQ3K::kValues];
  float scales[BlockQ3K::kSubBlocks];
  for (int j = 0; j < BlockQ3K::kSubBlocks; ++j) {
    scales[j] = SearchDescent<BlockQ3K::kSubValues, BlockQ3K::kLevels>(x + 16 * j, codes + 16 * j);
  }
  EncodeScales(scales, block);
  RoundCodes(x, codes, block);
}

QUANTIZED_HOST_DEVICE inline void EncodeWeighedBlockQ3K(const float* x, const float* importance,
                                                        BlockQ3K& block) {
  constexpr int n = BlockQ3K::kSubValues, kSubBlocks = BlockQ3K::kSubBlocks;
  float weights[BlockQ3K::kValues];
  WeighBlock<BlockQ3K::kValues>(x, importance, BlockQ3K::kMeanSquareFactor, weights);
  uint8_t codes[BlockQ3K::kValues], scale_codes[kSubBlocks];
  float scales[kSubBlocks], weight[kSubBlocks];
  for (int j = 0; j < kSubBlocks; ++j) {
    scales[j] = SearchSymmetric<n, BlockQ3K::kLevels>(x + n * j, weights + n * j, codes + n * j);
    weight[j] = SumOf(weights + n * j, n);
  }
  block.d =
      F32ToF16(SearchSymmetric<kSubBlocks, BlockQ3K::kScaleLevels>(scales, weight, scale_codes));
  PackScales(scale_codes, block);
  RoundCodes(x, codes, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ3K(const BlockQ3K& block, float* out) {
  for (int j = 0; j < BlockQ3K::kSubBlocks; ++j) {
    const float scale = ScaleOf(block, j);
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      const int low = block.low[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
      const int high = block.high[i % 32] >> (i / 32) & 1;
      out[i] = scale * static_cast<float>((low | high << 2) - 4);
    }
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeQ3KRef(const float* x, const float* importance, size_t rows, size_t cols,
                  std::byte* out);
void EncodeQ3KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void DecodeQ3K(const std::byte* in, size_t count, float* out);
bool IsFiniteQ3K(const std::byte* in, size_t count);

}  // namespace quantized::kernels
