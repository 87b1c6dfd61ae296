// Q5_K: 256 values in 8 sub-blocks of 32 with 5-bit codes; each sub-block has a 6-bit scale and a
// 6-bit minimum (kernels/packed_scales). 176 bytes. A value is scale[j] * code - min[j], j its
// sub-block. Nibbles: for each 64 values, byte l (of 32) holds value l in its low half and value
// l + 32 in its high half. Bit j of high[l] is the fifth bit of value l of sub-block j.
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

struct BlockQ5K {
  static constexpr int kValues = 256;
  static constexpr int kSubBlocks = 8;
  static constexpr int kSubValues = 32;
  static constexpr int kMaxCode = 31;
  static constexpr int kMaxScale = 63;
  static constexpr AffineGrid kGrid = {-0.5f, 0.1f, 15, /*absolute_error=*/false};
  static constexpr bool kWeighByMagnitude = false;
  static constexpr float kMeanSquareFactor = 2;
  PackedScales scales;
  uint8_t high[kValues / 8];
  uint8_t nibbles[kValues / 2];
};
static_assert(sizeof(BlockQ5K) == 176);

// Scale and minimum of sub-block `j` as decoded.
QUANTIZED_HOST_DEVICE inline AffineFit ScaleOf(const BlockQ5K& block, int j) {
  return UnpackScale(block.scales, j);
}

QUANTIZED_HOST_DEVICE inline void EncodeScales(const AffineFit* fits, BlockQ5K& block) {
  EncodePackedScales(fits, block.scales);
}

QUANTIZED_HOST_DEVICE inline void SetScales(const SubScales<kPackedScales>& scales,
                                            const SubScales<kPackedScales>& minima,
                                            BlockQ5K& block) {
  // Only a code that wrapped around is larger (kernels/search/unsigned.h); Q4_K keeps it.
  const auto limited = [](SubScales<kPackedScales> codes) {
    for (uint8_t& code : codes.codes) code = static_cast<uint8_t>(AtMost(code, 63));
    return codes;
  };
  PackScales(limited(scales), limited(minima), block.scales);
}

// Writes the codes, given one per byte in the order of the values.
QUANTIZED_HOST_DEVICE inline void PackCodes(const uint8_t* codes, BlockQ5K& block) {
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int j = 0; j < 8; ++j) bits |= codes[32 * j + l] >> 4 << j;
    block.high[l] = static_cast<uint8_t>(bits);
  }
  for (int g = 0; g < 4; ++g) {
    const uint8_t* from = codes + 64 * g;
    for (int l = 0; l < 32; ++l) {
      block.nibbles[32 * g + l] = static_cast<uint8_t>((from[l] & 15) | (from[l + 32] & 15) << 4);
    }
  }
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ5K(const BlockQ5K& block, float* out) {
  for (int g = 0; g < 4; ++g) {
    const AffineFit low = ScaleOf(block, 2 * g);
    const AffineFit high = ScaleOf(block, 2 * g + 1);
    for (int l = 0; l < 32; ++l) {
      const int byte = block.nibbles[32 * g + l], fifth = block.high[l] >> (2 * g);
      out[64 * g + l] = low.scale * static_cast<float>((byte & 15) | (fifth & 1) << 4) - low.min;
      out[64 * g + l + 32] =
          high.scale * static_cast<float>(byte >> 4 | (fifth >> 1 & 1) << 4) - high.min;
    }
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeQ5KRef(const float* x, const float* importance, size_t rows, size_t cols,
                  std::byte* out);
void EncodeQ5KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void DecodeQ5K(const std::byte* in, size_t count, float* out);
bool IsFiniteQ5K(const std::byte* in, size_t count);

}  // namespace quantized::kernels
