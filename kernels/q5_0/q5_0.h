// Q5_0: 32 values as 5-bit integers times one f16 scale, 22 bytes. Value j is d * (q[j] - 16).
// Bit j of `high` (little-endian) is the fifth bit of value j; nibbles: byte j holds value j in its
// low half and value j + 16 in its high half.
// Encoding: the value m of largest magnitude (the first one) gets code 0, so d = m / -16; the other
// codes are x / d + 16 to the nearest, at most 31, where the division is a multiplication by the
// f32 inverse of the unrounded d.
// With importance: scale and codes of the symmetric search (kernels/search/symmetric.h), values
// weighed by the mean square of the whole row (kernels/search/importance.h).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/search/symmetric.h"
#include "kernels/types/extremes.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/nibbles.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockQ5_0 {
  static constexpr int kValues = 32;
  static constexpr int kLevels = 16;
  uint16_t d;  // f16
  uint8_t high[kValues / 8];
  uint8_t nibbles[kValues / 2];
};
static_assert(sizeof(BlockQ5_0) == 22);

QUANTIZED_HOST_DEVICE inline void EncodeBlockQ5_0(const float* x, BlockQ5_0& block) {
  const float largest = FirstLargest(x, BlockQ5_0::kValues);
  const float d = largest / -16;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  block.d = F32ToF16(d);
  // The narrowing to 8 bits comes before the clamp. It shows where the inverse overflows to
  // infinity: the codes are then 0, and d is 0 as an f16.
  const auto code = [inverse](float value) {
    const auto q = static_cast<int8_t>(TruncateToInt(value * inverse + 16.5f));
    return static_cast<uint8_t>(AtMost(q, 31));
  };
  uint8_t codes[BlockQ5_0::kValues];
  for (int j = 0; j < BlockQ5_0::kValues; ++j) codes[j] = code(x[j]);
  PackNibbles(codes, block);
}

// `weights`: of the values.
QUANTIZED_HOST_DEVICE inline void EncodeWeighedBlockQ5_0(const float* x, const float* weights,
                                                         BlockQ5_0& block) {
  uint8_t codes[BlockQ5_0::kValues];
  block.d = F32ToF16(SearchSymmetric<BlockQ5_0::kValues, BlockQ5_0::kLevels>(x, weights, codes));
  PackNibbles(codes, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockQ5_0(const BlockQ5_0& block, float* out) {
  const float d = F16ToF32(block.d);
  uint32_t high;
  std::memcpy(&high, block.high, sizeof(high));
  for (int j = 0; j < 16; ++j) {
    const int low_code = (block.nibbles[j] & 15) | static_cast<int>(high >> j & 1) << 4;
    const int high_code = block.nibbles[j] >> 4 | static_cast<int>(high >> (j + 16) & 1) << 4;
    out[j] = static_cast<float>(low_code - 16) * d;
    out[j + 16] = static_cast<float>(high_code - 16) * d;
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeQ5_0Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeQ5_0Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeQ5_0(const std::byte* in, size_t count, float* out);
bool IsFiniteQ5_0(const std::byte* in, size_t count);

}  // namespace quantized::kernels
