// Q8_0: 32 values as 8-bit integers times one f16 scale, 34 bytes. Value j is d * q[j].
// Encoding: d = max|x| / 127 and q = x / d rounded with halves away from zero, where the division
// is a multiplication by the f32 inverse of the unrounded d.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/types/extremes.h"
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

QUANTIZED_HOST_DEVICE inline void EncodeBlockQ8_0(const float* x, BlockQ8_0& block) {
  const float d = LargestMagnitude(x, BlockQ8_0::kValues) / 127;
  const float inverse = InverseOrZero(d);
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
