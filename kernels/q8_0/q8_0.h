// Q8_0: 32 values as 8-bit integers times one f16 scale, 34 bytes. Value j is d * q[j].
// Encoding: d = max|x| / 127 and q = x / d rounded with halves away from zero, where the division
// is a multiplication by the f32 inverse of the unrounded d.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockQ8_0 {
  static constexpr int kValues = 32;
  uint16_t d;  // f16
  int8_t q[kValues];
};
static_assert(sizeof(BlockQ8_0) == 34);

// The factor from values to codes. A scale so small that its inverse overflows is zero as an f16,
// so the codes mean nothing; the reference encoder leaves zeros, and so do we.
QUANTIZED_HOST_DEVICE inline float InverseScaleQ8_0(float d) {
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  return std::isinf(inverse) ? 0.0f : inverse;
}

QUANTIZED_HOST_DEVICE inline void EncodeBlockQ8_0(const float* x, BlockQ8_0& block) {
  float max = 0;
  for (int j = 0; j < BlockQ8_0::kValues; ++j) {
    const float magnitude = std::fabs(x[j]);
    max = max > magnitude ? max : magnitude;  // a NaN is taken, so that d shows it
  }
  const float d = max / 127;
  const float inverse = InverseScaleQ8_0(d);
  block.d = F32ToF16(d);
  for (int j = 0; j < BlockQ8_0::kValues; ++j) {
    block.q[j] = static_cast<int8_t>(RoundHalfAway(x[j] * inverse));
  }
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ8_0(const BlockQ8_0& block, float* out) {
  const float d = F16ToF32(block.d);
  for (int j = 0; j < BlockQ8_0::kValues; ++j) out[j] = d * static_cast<float>(block.q[j]);
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
// Importance is not used by this type: the largest value alone decides the scale.
void EncodeQ8_0Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeQ8_0Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeQ8_0(const std::byte* in, size_t count, float* out);
bool IsFiniteQ8_0(const std::byte* in, size_t count);

}  // namespace quantized::kernels
