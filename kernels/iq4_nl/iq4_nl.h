// IQ4_NL: 32 values as 4-bit codes of unevenly spaced levels (kernels/iq4_levels) times one f16
// scale, 18 bytes. A value is d * level. Nibbles: byte j holds value j in its low half and value
// j + 16 in its high half.
// Encoding: the search of kernels/iq4_levels with weights x^2 or, with importance, twice the
// block's own mean square; then the codes nearest to x / d, where the division is a multiplication
// by the f32 inverse of the unrounded d (0 where d is 0, which gives code 8).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/iq4_levels/iq4_levels.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/nibbles.h"

namespace quantized::kernels {

struct BlockIQ4NL {
  static constexpr int kValues = 32;
  uint16_t d;  // f16
  uint8_t nibbles[kValues / 2];
};
static_assert(sizeof(BlockIQ4NL) == 18);

// `scale`: that of the search.
QUANTIZED_HOST_DEVICE inline void FinishBlockIQ4NL(const float* x, float scale, BlockIQ4NL& block) {
  uint8_t codes[BlockIQ4NL::kValues];
  EncodeIQ4(x, scale != 0 ? 1 / scale : 0.0f, codes);
  block.d = F32ToF16(scale);
  PackNibbles(codes, block);
}

QUANTIZED_HOST_DEVICE inline void EncodeBlockIQ4NL(const float* x, BlockIQ4NL& block) {
  float weights[BlockIQ4NL::kValues];
  WeighIQ4<BlockIQ4NL::kValues>(x, weights);
  FinishBlockIQ4NL(x, SearchIQ4(x, weights), block);
}

QUANTIZED_HOST_DEVICE inline void EncodeWeighedBlockIQ4NL(const float* x, const float* importance,
                                                          BlockIQ4NL& block) {
  float weights[BlockIQ4NL::kValues];
  WeighIQ4<BlockIQ4NL::kValues>(x, importance, weights);
  FinishBlockIQ4NL(x, SearchIQ4(x, weights), block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockIQ4NL(const BlockIQ4NL& block, float* out) {
  const float d = F16ToF32(block.d);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * IQ4Level(block.nibbles[j] & 15);
    out[j + 16] = d * IQ4Level(block.nibbles[j] >> 4);
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeIQ4NLRef(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void EncodeIQ4NLSimd(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out);
void DecodeIQ4NL(const std::byte* in, size_t count, float* out);
bool IsFiniteIQ4NL(const std::byte* in, size_t count);

}  // namespace quantized::kernels
