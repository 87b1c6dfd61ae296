// MXFP4: 32 values of 4-bit floating point (kernels/fp4) times a power of two, 17 bytes. A value is
// 2^(e - 128) * level. Nibbles: byte j holds value j in its low half and value j + 16 in its high
// half.
// Encoding: e = floor(log2 max|x|) - 2 + 127, cut to 8 bits, and 0 where all values are 0; then the
// nearest levels. The logarithm is that of the reference, which takes log2 in f32 first: directly
// below a power of two it rounds up to the integer. Blocks whose largest magnitude is in
// [2^-126, 2^-125) get e = 255, which the reference tool refuses.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/fp4/fp4.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockMXFP4 {
  static constexpr int kValues = 32;
  uint8_t e;
  uint8_t nibbles[kValues / 2];
};
static_assert(sizeof(BlockMXFP4) == 17);

// floor(log2(value)) for a finite value > 0, where log2 is the exact logarithm rounded to f32.
QUANTIZED_HOST_DEVICE inline int FloorLog2Rounded(float value) {
  int exponent = -127;
  if (value < 0x1p-126f) {
    value *= 0x1p24f;
    exponent -= 24;
  }
  exponent += static_cast<int>(BitsOf(value) >> 23);
  // How far the next power of two, 2^next, is away, in units of 2^-24 of it: its logarithm is
  // smaller by that many times 2^-24 / ln 2. It rounds to `next` where that is less than half a
  // step of floats, which is 2^(k - 24) where |log2| is in [2^k, 2^(k+1)): that is for no more than
  // floor(ln 2 * 2^k) units, where k < 8.
  const int units = 0x800000 - static_cast<int>(BitsOf(value) & 0x7FFFFF);
  const int next = exponent + 1;
  const int magnitude = next > 0 ? next - 1 : -next;  // k: its highest bit
  int limit = 88;                                     // for k = 7
  for (int k = 7; k >= 0 && (magnitude >> k & 1) == 0; --k) limit >>= 1;
  return units <= limit ? next : exponent;
}

QUANTIZED_HOST_DEVICE inline uint8_t ExponentMXFP4(float largest_magnitude) {
  return largest_magnitude > 0 ? static_cast<uint8_t>(FloorLog2Rounded(largest_magnitude) - 2 + 127)
                               : uint8_t{0};
}

// What levels are multiplied with: 2^(e - 128), which is subnormal for e < 2.
QUANTIZED_HOST_DEVICE inline float ScaleMXFP4(uint8_t e) {
  return FloatOf(e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23);
}

QUANTIZED_HOST_DEVICE inline void EncodeBlockMXFP4(const float* x, BlockMXFP4& block) {
  float largest = 0;
  for (int j = 0; j < BlockMXFP4::kValues; ++j) largest = LargerOf(largest, std::fabs(x[j]));
  block.e = ExponentMXFP4(largest);
  EncodeFp4<BlockMXFP4::kValues>(x, ScaleMXFP4(block.e), block.nibbles);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockMXFP4(const BlockMXFP4& block, float* out) {
  DecodeFp4<BlockMXFP4::kValues>(block.nibbles, ScaleMXFP4(block.e), out);
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
// Importance is not used by this type: the largest value alone decides the scale.
void EncodeMXFP4Ref(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void EncodeMXFP4Simd(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out);
void DecodeMXFP4(const std::byte* in, size_t count, float* out);
bool IsFiniteMXFP4(const std::byte* in, size_t count);

}  // namespace quantized::kernels
