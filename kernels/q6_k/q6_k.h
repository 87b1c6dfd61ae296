// Q6_K: 256 values in 16 sub-blocks of 16 with 6-bit codes; each sub-block has a signed 8-bit
// scale; they share one f16 factor. 210 bytes. A value is d * scale[j] * (code - 32), j its
// sub-block. For each half of 128 values: byte l (of 32) of `low` holds the low four bits of value
// l (low half of the byte) and l + 64, byte l + 32 those of values l + 32 and l + 96; byte l (of
// 32) of `high` holds the upper two bits of values l, l + 32, l + 64 and l + 96 from the low bits
// up.
//
// Encoding: the symmetric search (kernels/search/symmetric.h) for each sub-block; the scale of
// largest magnitude becomes -128; then the codes are rounded again, against the quantized scales.
// A sub-block whose scale became 0 keeps the codes of the search. A block without any scale is all
// zero bytes. The weights of the search are x^2, or the importance as it is.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/search/symmetric.h"
#include "kernels/types/extremes.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockQ6K {
  static constexpr int kValues = 256;
  static constexpr int kSubBlocks = 16;
  static constexpr int kSubValues = 16;
  static constexpr int kLevels = 32;
  uint8_t low[kValues / 2];
  uint8_t high[kValues / 4];
  int8_t scales[kSubBlocks];
  uint16_t d;  // f16
};
static_assert(sizeof(BlockQ6K) == 210);

// The scale of sub-block `j` as decoded.
QUANTIZED_HOST_DEVICE inline float ScaleOf(const BlockQ6K& block, int j) {
  return F16ToF32(block.d) * static_cast<float>(block.scales[j]);
}

// Writes d and scales. False if the block is to be all zero bytes.
QUANTIZED_HOST_DEVICE inline bool EncodeScales(const float* scales, BlockQ6K& block) {
  const float largest = FirstLargest(scales, BlockQ6K::kSubBlocks);
  if (std::fabs(largest) < kSmallestMagnitude) return false;
  const float inverse = -128.0f / largest;
  for (int j = 0; j < BlockQ6K::kSubBlocks; ++j) {
    const int code = NearestInt(inverse * scales[j]);
    block.scales[j] = static_cast<int8_t>(code < 127 ? code : 127);
  }
  block.d = F32ToF16(1 / inverse);
  return true;
}

// Writes the codes, given one per byte in the order of the values.
QUANTIZED_HOST_DEVICE inline void PackCodes(const uint8_t* codes, BlockQ6K& block) {
  for (int half = 0; half < 2; ++half) {
    const uint8_t* from = codes + 128 * half;
    for (int l = 0; l < 64; ++l) {
      block.low[64 * half + l] = static_cast<uint8_t>((from[l] & 15) | (from[l + 64] & 15) << 4);
    }
    for (int l = 0; l < 32; ++l) {
      block.high[32 * half + l] = static_cast<uint8_t>(
          from[l] >> 4 | from[l + 32] >> 4 << 2 | from[l + 64] >> 4 << 4 | from[l + 96] >> 4 << 6);
    }
  }
}

QUANTIZED_HOST_DEVICE inline void EncodeWeighedBlockQ6K(const float* x, const float* weights,
                                                        BlockQ6K& block) {
  uint8_t codes[BlockQ6K::kValues];
  float scales[BlockQ6K::kSubBlocks];
  for (int j = 0; j < BlockQ6K::kSubBlocks; ++j) {
    scales[j] = SearchSymmetric<BlockQ6K::kSubValues, BlockQ6K::kLevels>(
        x + 16 * j, weights + 16 * j, codes + 16 * j);
  }
  if (!EncodeScales(scales, block)) {
    block = {};
    return;
  }
  for (int j = 0; j < BlockQ6K::kSubBlocks; ++j) {
    const float scale = ScaleOf(block, j);
    if (scale == 0) continue;
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      codes[i] = static_cast<uint8_t>(
          Clamp(NearestInt(x[i] / scale), -BlockQ6K::kLevels, BlockQ6K::kLevels - 1) +
          BlockQ6K::kLevels);
    }
  }
  PackCodes(codes, block);
}

QUANTIZED_HOST_DEVICE inline void EncodeBlockQ6K(const float* x, BlockQ6K& block) {
  float weights[BlockQ6K::kValues];
  for (int i = 0; i < BlockQ6K::kValues; ++i) weights[i] = x[i] * x[i];
  EncodeWeighedBlockQ6K(x, weights, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ6K(const BlockQ6K& block, float* out) {
  for (int j = 0; j < BlockQ6K::kSubBlocks; ++j) {
    const float scale = ScaleOf(block, j);
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      const int low = block.low[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15;
      const int high = block.high[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
      out[i] = scale * static_cast<float>((low | high << 4) - 32);
    }
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeQ6KRef(const float* x, const float* importance, size_t rows, size_t cols,
                  std::byte* out);
void EncodeQ6KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void DecodeQ6K(const std::byte* in, size_t count, float* out);
bool IsFiniteQ6K(const std::byte* in, size_t count);

}  // namespace quantized::kernels
