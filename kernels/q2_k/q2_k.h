// Q2_K: 256 values in 16 sub-blocks of 16 with 2-bit codes; each sub-block has a 4-bit scale and a
// 4-bit minimum, which share two f16 factors. 84 bytes.
// A value is d * scale[j] * code - dmin * min[j], j its sub-block.
// Codes: for each half of 128 values, byte l (of 32) holds values l, l + 32, l + 64 and l + 96 from
// the low bits up.
//
// Encoding: the affine search (kernels/search/affine.h, weights |x|, absolute error) for each
// sub-block; the largest scale and the largest minimum give d and dmin; then the codes are rounded
// again, against the quantized scales and minima. A sub-block whose scale became 0 keeps the codes
// of the search. With importance: kernels/search/affine_block.h, values weighed by the block's mean
// square.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/search/affine.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockQ2K {
  static constexpr int kValues = 256;
  static constexpr int kSubBlocks = 16;
  static constexpr int kSubValues = 16;
  static constexpr int kMaxCode = 3;
  static constexpr int kMaxScale = 15;
  static constexpr AffineGrid kGrid = {-0.5f, 0.1f, 15, /*absolute_error=*/true};
  static constexpr bool kWeighByMagnitude = true;
  static constexpr float kMeanSquareFactor = 1;
  uint8_t scales[kSubBlocks];  // scale in the low half, minimum in the high half
  uint8_t codes[kValues / 4];
  uint16_t d;     // f16
  uint16_t dmin;  // f16
};
static_assert(sizeof(BlockQ2K) == 84);

// Scale and minimum of sub-block `j` as decoded.
QUANTIZED_HOST_DEVICE inline AffineFit ScaleOf(const BlockQ2K& block, int j) {
  return {F16ToF32(block.d) * static_cast<float>(block.scales[j] & 15),
          F16ToF32(block.dmin) * static_cast<float>(block.scales[j] >> 4)};
}

// Writes d, dmin and scales.
QUANTIZED_HOST_DEVICE inline void EncodeScales(const AffineFit* fits, BlockQ2K& block) {
  float max_scale = 0, max_min = 0;
  for (int j = 0; j < BlockQ2K::kSubBlocks; ++j) {
    max_scale = LargerOf(max_scale, fits[j].scale);
    max_min = LargerOf(max_min, fits[j].min);
  }
  const float inverse_scale = max_scale > 0 ? 15.0f / max_scale : 0.0f;
  const float inverse_min = max_min > 0 ? 15.0f / max_min : 0.0f;
  for (int j = 0; j < BlockQ2K::kSubBlocks; ++j) {
    const int scale = max_scale > 0 ? NearestInt(inverse_scale * fits[j].scale) : 0;
    const int min = max_min > 0 ? NearestInt(inverse_min * fits[j].min) : 0;
    block.scales[j] = static_cast<uint8_t>(scale | min * 16);
  }
  block.d = max_scale > 0 ? F32ToF16(max_scale / 15.0f) : 0;
  block.dmin = max_min > 0 ? F32ToF16(max_min / 15.0f) : 0;
}

QUANTIZED_HOST_DEVICE inline void SetScales(const SubScales<BlockQ2K::kSubBlocks>& scales,
                                            const SubScales<BlockQ2K::kSubBlocks>& minima,
                                            BlockQ2K& block) {
  for (int j = 0; j < BlockQ2K::kSubBlocks; ++j) {
    block.scales[j] = static_cast<uint8_t>(scales.codes[j] | minima.codes[j] << 4);
  }
  block.d = F32ToF16(scales.factor);
  block.dmin = F32ToF16(minima.factor);
}

// Writes the codes, given one per byte in the order of the values.
QUANTIZED_HOST_DEVICE inline void PackCodes(const uint8_t* codes, BlockQ2K& block) {
  for (int half = 0; half < 2; ++half) {
    const uint8_t* from = codes + 128 * half;
    for (int l = 0; l < 32; ++l) {
      block.codes[32 * half + l] =
          static_cast<uint8_t>(from[l] | from[l + 32] << 2 | from[l + 64] << 4 | from[l + 96] << 6);
    }
  }
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ2K(const BlockQ2K& block, float* out) {
  for (int j = 0; j < BlockQ2K::kSubBlocks; ++j) {
    const AffineFit sub = ScaleOf(block, j);
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      const int code = block.codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
      out[i] = sub.scale * static_cast<float>(code) - sub.min;
    }
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeQ2KRef(const float* x, const float* importance, size_t rows, size_t cols,
                  std::byte* out);
void EncodeQ2KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void DecodeQ2K(const std::byte* in, size_t count, float* out);
bool IsFiniteQ2K(const std::byte* in, size_t count);

}  // namespace quantized::kernels
