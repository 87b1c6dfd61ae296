// IQ4_XS: 256 values in 8 sub-blocks of 32 with 4-bit codes of unevenly spaced levels
// (kernels/iq4_levels); each sub-block has a signed 6-bit scale; they share one f16 factor. 136
// bytes. A value is d * (scale[j] - 32) * level, j its sub-block. Scale j: its upper two bits are
// bits 2j and 2j + 1 of `scales_high`, its low four bits the low (even j) or high half of byte
// j / 2 of `scales_low`. Nibbles: 16 bytes for each sub-block, byte l with value l in its low half
// and value l + 16 in its high half.
//
// Encoding: the search of kernels/iq4_levels for each sub-block, with weights x^2 or, with
// importance, twice the mean square of all 256 values; the scale of largest magnitude gets the code
// 0, that is -32; then the codes nearest to x / (d * scale), where the division is a multiplication
// by the f32 inverse, with the unrounded d. Where d * scale is 0 so is the inverse, which gives
// code 8.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/iq4_levels/iq4_levels.h"
#include "kernels/types/extremes.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockIQ4XS {
  static constexpr int kValues = 256;
  static constexpr int kSubBlocks = 8;
  static constexpr int kSubValues = kIQ4Values;
  uint16_t d;  // f16
  uint16_t scales_high;
  uint8_t scales_low[kSubBlocks / 2];
  uint8_t nibbles[kValues / 2];
};
static_assert(sizeof(BlockIQ4XS) == 136);

// The scale of sub-block `j` as decoded.
QUANTIZED_HOST_DEVICE inline float ScaleOf(const BlockIQ4XS& block, int j) {
  const int low = block.scales_low[j / 2] >> (4 * (j % 2)) & 15;
  const int high = block.scales_high >> (2 * j) & 3;
  return F16ToF32(block.d) * static_cast<float>((low | high << 4) - 32);
}

// Writes d and scales; inverses[j] is that of sub-block j, by which its values are encoded.
QUANTIZED_HOST_DEVICE inline void EncodeScales(const float* scales, float* inverses,
                                               BlockIQ4XS& block) {
  const float d = -FirstLargest(scales, BlockIQ4XS::kSubBlocks) / 32;
  const float inverse = d != 0 ? 1 / d : 0.0f;
  block.d = F32ToF16(d);
  block.scales_high = 0;
  for (uint8_t& byte : block.scales_low) byte = 0;
  for (int j = 0; j < BlockIQ4XS::kSubBlocks; ++j) {
    const int scale = Clamp(NearestInt(inverse * scales[j]), -32, 31);
    const float sub_scale = d * static_cast<float>(scale);
    inverses[j] = sub_scale != 0 ? 1 / sub_scale : 0.0f;
    const int code = scale + 32;
    block.scales_low[j / 2] =
        static_cast<uint8_t>(block.scales_low[j / 2] | (code & 15) << (4 * (j % 2)));
    block.scales_high = static_cast<uint16_t>(block.scales_high | code >> 4 << (2 * j));
  }
}

// Writes the codes, given one per byte in the order of the values.
QUANTIZED_HOST_DEVICE inline void PackCodes(const uint8_t* codes, BlockIQ4XS& block) {
  for (int j = 0; j < BlockIQ4XS::kSubBlocks; ++j) {
    const uint8_t* from = codes + BlockIQ4XS::kSubValues * j;
    for (int l = 0; l < 16; ++l) {
      block.nibbles[16 * j + l] = static_cast<uint8_t>(from[l] | from[l + 16] << 4);
    }
  }
}

// The block of values that have these weights.
QUANTIZED_HOST_DEVICE inline void SearchBlockIQ4XS(const float* x, const float* weights,
                                                   BlockIQ4XS& block) {
  constexpr int n = BlockIQ4XS::kSubValues;
  float scales[BlockIQ4XS::kSubBlocks], inverses[BlockIQ4XS::kSubBlocks];
  for (int j = 0; j < BlockIQ4XS::kSubBlocks; ++j) {
    scales[j] = SearchIQ4(x + n * j, weights + n * j);
  }
  EncodeScales(scales, inverses, block);
  uint8_t codes[BlockIQ4XS::kValues];
  for (int j = 0; j < BlockIQ4XS::kSubBlocks; ++j) {
    EncodeIQ4(x + n * j, inverses[j], codes + n * j);
  }
  PackCodes(codes, block);
}

QUANTIZED_HOST_DEVICE inline void EncodeBlockIQ4XS(const float* x, BlockIQ4XS& block) {
  float weights[BlockIQ4XS::kValues];
  WeighIQ4<BlockIQ4XS::kValues>(x, weights);
  SearchBlockIQ4XS(x, weights, block);
}

QUANTIZED_HOST_DEVICE inline void EncodeWeighedBlockIQ4XS(const float* x, const float* importance,
                                                          BlockIQ4XS& block) {
  float weights[BlockIQ4XS::kValues];
  WeighIQ4<BlockIQ4XS::kValues>(x, importance, weights);
  SearchBlockIQ4XS(x, weights, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockIQ4XS(const BlockIQ4XS& block, float* out) {
  for (int j = 0; j < BlockIQ4XS::kSubBlocks; ++j) {
    const float scale = ScaleOf(block, j);
    for (int l = 0; l < 16; ++l) {
      const int nibbles = block.nibbles[16 * j + l];
      out[32 * j + l] = scale * IQ4Level(nibbles & 15);
      out[32 * j + l + 16] = scale * IQ4Level(nibbles >> 4);
    }
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeIQ4XSRef(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void EncodeIQ4XSSimd(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out);
void DecodeIQ4XS(const std::byte* in, size_t count, float* out);
bool IsFiniteIQ4XS(const std::byte* in, size_t count);

}  // namespace quantized::kernels
