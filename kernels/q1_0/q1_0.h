// Q1_0: 128 signs times one f16 scale, 18 bytes. Value j is d where bit j % 8 of byte j / 8 is set,
// else -d.
// Encoding: d is the mean magnitude, its sum in the order of the values; a bit is set for x >= 0,
// both zeros included.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/types/half.h"
#include "kernels/types/host_device.h"

namespace quantized::kernels {

struct BlockQ1_0 {
  static constexpr int kValues = 128;
  uint16_t d;  // f16
  uint8_t signs[kValues / 8];
};
static_assert(sizeof(BlockQ1_0) == 18);

QUANTIZED_HOST_DEVICE inline void EncodeBlockQ1_0(const float* x, BlockQ1_0& block) {
  float sum = 0;
  for (int j = 0; j < BlockQ1_0::kValues; ++j) sum += std::fabs(x[j]);
  block.d = F32ToF16(sum / BlockQ1_0::kValues);
  for (int j = 0; j < BlockQ1_0::kValues / 8; ++j) {
    int byte = 0;
    for (int n = 0; n < 8; ++n) byte |= (x[8 * j + n] >= 0 ? 1 : 0) << n;
    block.signs[j] = static_cast<uint8_t>(byte);
  }
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ1_0(const BlockQ1_0& block, float* out) {
  const float d = F16ToF32(block.d);
  for (int j = 0; j < BlockQ1_0::kValues; ++j) {
    out[j] = (block.signs[j / 8] >> (j % 8) & 1) != 0 ? d : -d;
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
// Importance is not used by this type: the mean magnitude decides the scale.
void EncodeQ1_0Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeQ1_0Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeQ1_0(const std::byte* in, size_t count, float* out);
bool IsFiniteQ1_0(const std::byte* in, size_t count);

}  // namespace quantized::kernels
