// Q4_K: 256 values in 8 sub-blocks of 32 with 4-bit codes; each sub-block has a 6-bit scale and a
// 6-bit minimum (kernels/packed_scales). 144 bytes. A value is scale[j] * code - min[j], j its
// sub-block. Nibbles: for each 64 values, byte l (of 32) holds value l in its low half and value
// l + 32 in its high half.
//
// Encoding: the affine search (kernels/search/affine.h, weights sqrt(mean x^2) + |x|, squared
// error) for each sub-block, then the packed scales, then the codes are rounded again, against the
// packed scales. A sub-block whose scale became 0 keeps the codes of the search. With importance:
// kernels/search/affine_block.h, values weighed by twice the block's mean square.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/packed_scales/packed_scales.h"
#include "kernels/search/affine.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockQ4K {
  static constexpr int kValues = 256;
  static constexpr int kSubBlocks = 8;
  static constexpr int kSubValues = 32;
  static constexpr int kMaxCode = 15;
  static constexpr int kMaxScale = 63;
  static constexpr AffineGrid kGrid = {-1.0f, 0.1f, 20, /*absolute_error=*/false};
  static constexpr bool kWeighByMagnitude = false;
  static constexpr float kMeanSquareFactor = 2;
  PackedScales scales;
  uint8_t nibbles[kValues / 2];
};
static_assert(sizeof(BlockQ4K) == 144);

// Scale and minimum of sub-block `j` as decoded.
QUANTIZED_HOST_DEVICE inline AffineFit ScaleOf(const BlockQ4K& block, int j) {
  return UnpackScale(block.scales, j);
}

QUANTIZED_HOST_DEVICE inline void EncodeScales(const AffineFit* fits, BlockQ4K& block) {
  EncodePackedScales(fits, block.scales);
}

QUANTIZED_HOST_DEVICE inline void SetScales(const SubScales<kPackedScales>& scales,
                                            const SubScales<kPackedScales>& minima,
                                            BlockQ4K& block) {
  PackScales(scales, minima, block.scales);
}

// Writes the codes, given one per byte in the order of the values.
QUANTIZED_HOST_DEVICE inline void PackCodes(const uint8_t* codes, BlockQ4K& block) {
  for (int g = 0; g < 4; ++g) {
    const uint8_t* from = codes + 64 * g;
    for (int l = 0; l < 32; ++l) {
      block.nibbles[32 * g + l] = static_cast<uint8_t>(from[l] | from[l + 32] << 4);
    }
  }
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ4K(const BlockQ4K& block, float* out) {
  for (int g = 0; g < 4; ++g) {
    const AffineFit low = ScaleOf(block, 2 * g);
    const AffineFit high = ScaleOf(block, 2 * g + 1);
    for (int l = 0; l < 32; ++l) {
      const uint8_t byte = block.nibbles[32 * g + l];
      out[64 * g + l] = low.scale * static_cast<float>(byte & 15) - low.min;
      out[64 * g + l + 32] = high.scale * static_cast<float>(byte >> 4) - high.min;
    }
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeQ4KRef(const float* x, const float* importance, size_t rows, size_t cols,
                  std::byte* out);
void EncodeQ4KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void DecodeQ4K(const std::byte* in, size_t count, float* out);
bool IsFiniteQ4K(const std::byte* in, size_t count);

}  // namespace quantized::kernels
