// Conversions between f32 and the two 16-bit float formats, exact to the bit.
//   f16  IEEE binary16: sign 1, exponent 5, mantissa 10.
//   bf16 the upper half of an f32: sign 1, exponent 8, mantissa 7.
// Narrowing rounds to the nearest value, ties to the even mantissa; what is too large becomes
// infinity; subnormal results are kept. Widening is exact.
#pragma once

#include <cstdint>

#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

// Every NaN becomes 0x7E00 with the sign of `value`.
QUANTIZED_HOST_DEVICE inline uint16_t F32ToF16(float value) {
  const uint32_t bits = BitsOf(value);
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return static_cast<uint16_t>(sign | 0x7E00);
  if (magnitude >= 0x47800000) return static_cast<uint16_t>(sign | 0x7C00);  // 2^16 and more
  if (magnitude < 0x38800000) {
    // Below 2^-14 the result's step is 2^-24, which is the step of floats in [0.5, 1): the sum is
    // rounded to it, and its low bits count the steps.
    const uint32_t sum = BitsOf(FloatOf(magnitude) + 0.5f);
    return static_cast<uint16_t>(sign | (sum - 0x3F000000));
  }
  // Moves the exponent's bias from 127 to 15 and rounds 13 mantissa bits away; a carry goes into
  // the exponent, up to infinity.
  const uint32_t odd = magnitude >> 13 & 1;
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000 + 0x0FFF + odd) >> 13));
}

// A NaN keeps its payload and becomes quiet.
QUANTIZED_HOST_DEVICE inline float F16ToF32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 0x1F;
  const uint32_t mantissa = half & 0x3FF;
  if (exponent == 0x1F) {
    return FloatOf(sign | 0x7F800000 | mantissa << 13 | (mantissa != 0 ? 0x00400000 : 0));
  }
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return FloatOf(sign | BitsOf(magnitude));
  }
  return FloatOf(sign | ((exponent + 112) << 23) | mantissa << 13);
}

// A NaN keeps the upper bits of its payload and becomes quiet.
QUANTIZED_HOST_DEVICE inline uint16_t F32ToBF16(float value) {
  const uint32_t bits = BitsOf(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  const uint32_t odd = bits >> 16 & 1;
  return static_cast<uint16_t>((bits + 0x7FFF + odd) >> 16);
}

QUANTIZED_HOST_DEVICE inline float BF16ToF32(uint16_t half) {
  return FloatOf(static_cast<uint32_t>(half) << 16);
}

QUANTIZED_HOST_DEVICE inline bool IsFiniteF16(uint16_t half) { return (half & 0x7C00) != 0x7C00; }

QUANTIZED_HOST_DEVICE inline bool IsFiniteBF16(uint16_t half) { return (half & 0x7F80) != 0x7F80; }

}  // namespace quantized::kernels
