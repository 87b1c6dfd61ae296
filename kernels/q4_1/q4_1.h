// Q4_1: 32 values as 4-bit integers times an f16 scale plus an f16 minimum, 20 bytes. Value j is
// d * q[j] + m. Nibbles: byte j holds value j in its low half and value j + 16 in its high half.
// Encoding: m = min x, d = (max x - m) / 15, q = (x - m) / d to the nearest, at most 15, where the
// division is a multiplication by the f32 inverse and d and m are not yet rounded to f16.
// With importance: scale, minimum and codes of the affine search (kernels/search/affine.h), values
// weighed by the mean square of the whole row (kernels/search/importance.h).
#pragma once

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/search/affine.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/nibbles.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockQ4_1 {
  static constexpr int kValues = 32;
  static constexpr int kMaxCode = 15;
  uint16_t d;  // f16
  uint16_t m;  // f16
  uint8_t nibbles[kValues / 2];
};
static_assert(sizeof(BlockQ4_1) == 20);

QUANTIZED_HOST_DEVICE inline void EncodeBlockQ4_1(const float* x, BlockQ4_1& block) {
  float min = FLT_MAX, max = -FLT_MAX;
  for (int j = 0; j < BlockQ4_1::kValues; ++j) {
    min = SmallerOf(min, x[j]);
    max = LargerOf(max, x[j]);
  }
  const float d = (max - min) / 15;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  block.d = F32ToF16(d);
  block.m = F32ToF16(min);
  // The narrowing to 8 bits comes before the clamp, see q4_0.h.
  const auto code = [inverse, min](float value) {
    const auto q = static_cast<int8_t>(TruncateToInt((value - min) * inverse + 0.5f));
    return static_cast<uint8_t>(AtMost(q, 15));
  };
  uint8_t codes[BlockQ4_1::kValues];
  for (int j = 0; j < BlockQ4_1::kValues; ++j) codes[j] = code(x[j]);
  PackNibbles(codes, block);
}

// `weights`: of the values.
QUANTIZED_HOST_DEVICE inline void EncodeWeighedBlockQ4_1(const float* x, const float* weights,
                                                         BlockQ4_1& block) {
  uint8_t codes[BlockQ4_1::kValues];
  const AffineFit fit =
      SearchAffine<BlockQ4_1::kValues, BlockQ4_1::kMaxCode>(x, weights, kWeighedGrid, codes);
  block.d = F32ToF16(fit.scale);
  block.m = F32ToF16(-fit.min);
  PackNibbles(codes, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ4_1(const BlockQ4_1& block, float* out) {
  const float d = F16ToF32(block.d), m = F16ToF32(block.m);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(block.nibbles[j] & 15) * d + m;
    out[j + 16] = static_cast<float>(block.nibbles[j] >> 4) * d + m;
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeQ4_1Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeQ4_1Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeQ4_1(const std::byte* in, size_t count, float* out);
bool IsFiniteQ4_1(const std::byte* in, size_t count);

}  // namespace quantized::kernels
