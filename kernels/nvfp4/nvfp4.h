// NVFP4: 64 values of 4-bit floating point (kernels/fp4) in 4 sub-blocks of 16, each with an 8-bit
// floating-point scale, 36 bytes. A value is s / 2 * level. Scales have no sign, 4 exponent bits
// (bias 7) and 3 mantissa bits (UE4M3), subnormals, no infinity; 0x7F stands for 0. Nibbles: 8
// bytes for each sub-block, byte j with value j in its low half and value j + 8 in its high half.
// Encoding: s = max|x| / 6 to the nearest, halves up, and 448, the largest scale, for all from 256
// on; then the nearest levels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/fp4/fp4.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockNVFP4 {
  static constexpr int kValues = 64;
  static constexpr int kSubBlocks = 4;
  static constexpr int kSubValues = 16;
  uint8_t scales[kSubBlocks];
  uint8_t nibbles[kValues / 2];
};
static_assert(sizeof(BlockNVFP4) == 36);

QUANTIZED_HOST_DEVICE inline uint8_t EncodeScaleNVFP4(float scale) {
  if (!(scale > 0)) return 0;
  if (scale < 0x1p-6f) {  // steps of 2^-9, but never the 8th, which is 2^-6
    return static_cast<uint8_t>(Clamp(static_cast<int>(scale * 512.0f + 0.5f), 0, 7));
  }
  // The exponent's bias goes from 127 to 7. Only the first of the dropped bits is looked at.
  const uint32_t bits = BitsOf(SmallerOf(256.0f, scale));
  const uint32_t code = (bits >> 20) - (120 << 3) + (bits >> 19 & 1);
  return static_cast<uint8_t>(code < 15 << 3 ? code : 0x7E);
}

// What levels are multiplied with: half the scale.
QUANTIZED_HOST_DEVICE inline float ScaleNVFP4(uint8_t code) {
  const uint32_t exponent = code >> 3 & 15, mantissa = code & 7;
  if (code == 0x7F) return 0;
  if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-10f;
  return FloatOf((exponent + 119) << 23 | mantissa << 20);
}

QUANTIZED_HOST_DEVICE inline void EncodeBlockNVFP4(const float* x, BlockNVFP4& block) {
  constexpr int n = BlockNVFP4::kSubValues;
  for (int s = 0; s < BlockNVFP4::kSubBlocks; ++s) {
    float largest = 0;
    for (int j = 0; j < n; ++j) largest = LargerOf(largest, std::fabs(x[n * s + j]));
    block.scales[s] = EncodeScaleNVFP4(largest / 6);
    EncodeFp4<n>(x + n * s, ScaleNVFP4(block.scales[s]), block.nibbles + n / 2 * s);
  }
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockNVFP4(const BlockNVFP4& block, float* out) {
  constexpr int n = BlockNVFP4::kSubValues;
  for (int s = 0; s < BlockNVFP4::kSubBlocks; ++s) {
    DecodeFp4<n>(block.nibbles + n / 2 * s, ScaleNVFP4(block.scales[s]), out + n * s);
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
// Importance is not used by this type: the largest value alone decides the scale.
void EncodeNVFP4Ref(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void EncodeNVFP4Simd(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out);
void DecodeNVFP4(const std::byte* in, size_t count, float* out);
bool IsFiniteNVFP4(const std::byte* in, size_t count);

}  // namespace quantized::kernels
