// Q2_0: 64 values as 2-bit integers times one f16 scale, 18 bytes. Value j is d * (code - 1); its
// code is in bits 2 (j % 4) of byte j / 4.
// Encoding: d is the largest magnitude; codes are nearest to x / d (kernels/ternary), where the
// division is a multiplication by the f32 inverse of the unrounded d. Code 3 is never written.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/ternary/ternary.h"
#include "kernels/types/extremes.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"

namespace quantized::kernels {

struct BlockQ2_0 {
  static constexpr int kValues = 64;
  uint16_t d;  // f16
  uint8_t codes[kValues / 4];
};
static_assert(sizeof(BlockQ2_0) == 18);

QUANTIZED_HOST_DEVICE inline void EncodeBlockQ2_0(const float* x, BlockQ2_0& block) {
  const float d = LargestMagnitude(x, BlockQ2_0::kValues);
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  block.d = F32ToF16(d);
  // Below about 2^-128 the inverse overflows; d is 0 as an f16, and the reference leaves codes 0.
  const bool overflow = std::isinf(inverse);
  for (int j = 0; j < BlockQ2_0::kValues / 4; ++j) {
    int byte = 0;
    for (int n = 0; n < 4 && !overflow; ++n) byte |= TernaryCode(x[4 * j + n] * inverse) << (2 * n);
    block.codes[j] = static_cast<uint8_t>(byte);
  }
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ2_0(const BlockQ2_0& block, float* out) {
  const float d = F16ToF32(block.d);
  for (int j = 0; j < BlockQ2_0::kValues; ++j) {
    out[j] = static_cast<float>((block.codes[j / 4] >> (2 * (j % 4)) & 3) - 1) * d;
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
// Importance is not used by this type: the largest value alone decides the scale.
void EncodeQ2_0Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeQ2_0Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeQ2_0(const std::byte* in, size_t count, float* out);
bool IsFiniteQ2_0(const std::byte* in, size_t count);

}  // namespace quantized::kernels
