// TQ2_0: 256 values -1, 0 or 1 times one f16 scale, two bits each, 66 bytes. A value is
// d * (code - 1). For each half of 128 values, byte l (of 32) holds values l, l + 32, l + 64 and
// l + 96 from the low bits up.
// Encoding: d is the largest magnitude; codes are nearest to x / d (kernels/ternary), where the
// division is a multiplication by the f32 inverse of the unrounded d.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ternary/ternary.h"
#include "kernels/types/extremes.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"

namespace quantized::kernels {

struct BlockTQ2_0 {
  static constexpr int kValues = 256;
  uint8_t codes[kValues / 4];
  uint16_t d;  // f16
};
static_assert(sizeof(BlockTQ2_0) == 66);

QUANTIZED_HOST_DEVICE inline void EncodeBlockTQ2_0(const float* x, BlockTQ2_0& block) {
  const float d = LargestMagnitude(x, BlockTQ2_0::kValues);
  const float inverse = InverseOrZero(d);
  block.d = F32ToF16(d);
  for (int half = 0; half < 2; ++half) {
    for (int l = 0; l < 32; ++l) {
      int byte = 0;
      for (int n = 0; n < 4; ++n) {
        byte |= TernaryCode(x[128 * half + 32 * n + l] * inverse) << (2 * n);
      }
      block.codes[32 * half + l] = static_cast<uint8_t>(byte);
    }
  }
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockTQ2_0(const BlockTQ2_0& block, float* out) {
  const float d = F16ToF32(block.d);
  for (int i = 0; i < BlockTQ2_0::kValues; ++i) {
    const int code = block.codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    out[i] = static_cast<float>(code - 1) * d;
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
// Importance is not used by this type: the largest value alone decides the scale.
void EncodeTQ2_0Ref(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void EncodeTQ2_0Simd(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out);
void DecodeTQ2_0(const std::byte* in, size_t count, float* out);
bool IsFiniteTQ2_0(const std::byte* in, size_t count);

}  // namespace quantized::kernels
