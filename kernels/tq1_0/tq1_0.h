// TQ1_0: 256 values -1, 0 or 1 times one f16 scale, five to a byte, 54 bytes. A value is
// d * (digit - 1). Five digits make a number below 3^5 = 243, the first the most significant; its
// byte is that number as a fraction of 243 in steps of 1/256, rounded up, so that digits come out
// from the top by multiplying with 3. Three runs of bytes, in which digit n of byte m is a value:
//   32 bytes  value       32 n + m, n < 5
//   16 bytes  value 160 + 16 n + m, n < 5
//    4 bytes  value 240 +  4 n + m, n < 4; the fifth digit is 0
// Encoding: d is the largest magnitude; digits are the codes nearest to x / d (kernels/ternary),
// where the division is a multiplication by the f32 inverse of the unrounded d.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ternary/ternary.h"
#include "kernels/types/extremes.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"

namespace quantized::kernels {

struct BlockTQ1_0 {
  static constexpr int kValues = 256;
  uint8_t digits[52];
  uint16_t d;  // f16
};
static_assert(sizeof(BlockTQ1_0) == 54);

// One run of bytes and the values it stands for: byte begin + m has values first + step * n + m.
struct DigitRunTQ1_0 {
  int begin, step, first, digits;
};

// step bytes each. Fewer than five digits leave the last ones 0.
QUANTIZED_HOST_DEVICE constexpr DigitRunTQ1_0 RunTQ1_0(int run) {
  constexpr DigitRunTQ1_0 kRuns[] = {{0, 32, 0, 5}, {32, 16, 160, 5}, {48, 4, 240, 4}};
  return kRuns[run];
}

// The byte of a number of five digits.
QUANTIZED_HOST_DEVICE constexpr int FractionTQ1_0(int number) { return (number * 256 + 242) / 243; }

QUANTIZED_HOST_DEVICE inline void EncodeBlockTQ1_0(const float* x, BlockTQ1_0& block) {
  const float d = LargestMagnitude(x, BlockTQ1_0::kValues);
  const float inverse = InverseOrZero(d);
  block.d = F32ToF16(d);
  for (int r = 0; r < 3; ++r) {
    const DigitRunTQ1_0 run = RunTQ1_0(r);
    for (int m = 0; m < run.step; ++m) {
      int number = 0;
      for (int n = 0; n < 5; ++n) {
        number *= 3;
        if (n < run.digits) number += TernaryCode(x[run.first + run.step * n + m] * inverse);
      }
      block.digits[run.begin + m] = static_cast<uint8_t>(FractionTQ1_0(number));
    }
  }
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockTQ1_0(const BlockTQ1_0& block, float* out) {
  const float d = F16ToF32(block.d);
  for (int r = 0; r < 3; ++r) {
    const DigitRunTQ1_0 run = RunTQ1_0(r);
    for (int m = 0; m < run.step; ++m) {
      int fraction = block.digits[run.begin + m];
      for (int n = 0; n < run.digits; ++n) {
        out[run.first + run.step * n + m] = static_cast<float>((fraction * 3 >> 8) - 1) * d;
        fraction = fraction * 3 & 255;
      }
    }
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
// Importance is not used by this type: the largest value alone decides the scale.
void EncodeTQ1_0Ref(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void EncodeTQ1_0Simd(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out);
void DecodeTQ1_0(const std::byte* in, size_t count, float* out);
bool IsFiniteTQ1_0(const std::byte* in, size_t count);

}  // namespace quantized::kernels
