// Q5_1: 32 values as 5-bit integers times an f16 scale plus an f16 minimum, 24 bytes. Value j is
// d * q[j] + m. Bit j of `high` (little-endian) is the fifth bit of value j; nibbles: byte j holds
// value j in its low half and value j + 16 in its high half.
// Encoding: m = min x, d = (max x - m) / 31, q = (x - m) / d to the nearest, where the division is
// a multiplication by the f32 inverse and d and m are not yet rounded to f16. There is no clamp.
// With importance: scale, minimum and codes of the affine search (kernels/search/affine.h), values
// weighed by the mean square of the whole row (kernels/search/importance.h).
#pragma once

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/search/affine.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/nibbles.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockQ5_1 {
  static constexpr int kValues = 32;
  static constexpr int kMaxCode = 31;
  uint16_t d;  // f16
  uint16_t m;  // f16
  uint8_t high[kValues / 8];
  uint8_t nibbles[kValues / 2];
};
static_assert(sizeof(BlockQ5_1) == 24);

QUANTIZED_HOST_DEVICE inline void EncodeBlockQ5_1(const float* x, BlockQ5_1& block) {
  float min = FLT_MAX, max = -FLT_MAX;
  for (int j = 0; j < BlockQ5_1::kValues; ++j) {
    min = SmallerOf(min, x[j]);
    max = LargerOf(max, x[j]);
  }
  const float d = (max - min) / 31;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  block.d = F32ToF16(d);
  block.m = F32ToF16(min);
  const auto code = [inverse, min](float value) {
    return static_cast<uint8_t>(TruncateToInt((value - min) * inverse + 0.5f));
  };
  uint8_t codes[BlockQ5_1::kValues];
  for (int j = 0; j < BlockQ5_1::kValues; ++j) codes[j] = code(x[j]);
  PackNibbles(codes, block);
}

// `weights`: of the values.
QUANTIZED_HOST_DEVICE inline void EncodeWeighedBlockQ5_1(const float* x, const float* weights,
                                                         BlockQ5_1& block) {
  uint8_t codes[BlockQ5_1::kValues];
  const AffineFit fit =
      SearchAffine<BlockQ5_1::kValues, BlockQ5_1::kMaxCode>(x, weights, kWeighedGrid, codes);
  block.d = F32ToF16(fit.scale);
  block.m = F32ToF16(-fit.min);
  PackNibbles(codes, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ5_1(const BlockQ5_1& block, float* out) {
  const float d = F16ToF32(block.d), m = F16ToF32(block.m);
  uint32_t high;
  std::memcpy(&high, block.high, sizeof(high));
  for (int j = 0; j < 16; ++j) {
    const int low_code = (block.nibbles[j] & 15) | static_cast<int>(high >> j & 1) << 4;
    const int high_code = block.nibbles[j] >> 4 | static_cast<int>(high >> (j + 16) & 1) << 4;
    out[j] = static_cast<float>(low_code) * d + m;
    out[j + 16] = static_cast<float>(high_code) * d + m;
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeQ5_1Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeQ5_1Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeQ5_1(const std::byte* in, size_t count, float* out);
bool IsFiniteQ5_1(const std::byte* in, size_t count);

}  // namespace quantized::kernels
