// The roundings of the block encoders. Bytes depend on which one is used where, so encoders call
// these and nothing else. All are defined for every float, NaN and infinities included.
#pragma once

#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

QUANTIZED_HOST_DEVICE inline uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

QUANTIZED_HOST_DEVICE inline float FloatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// 1.5 * 2^23: a float of this size has steps of 1, so adding it rounds to the nearest integer.
inline constexpr float kRoundingShift = 12582912.0f;

// Nearest integer, halves to even, for |value| < 2^22. Beyond that the low 23 bits of the sum's
// pattern wrap around, as the reference encoders do; the result is always in [-2^22, 2^22).
QUANTIZED_HOST_DEVICE inline int NearestInt(float value) {
  return static_cast<int>(BitsOf(value + kRoundingShift) & 0x007FFFFF) - 0x00400000;
}

// Towards zero; INT_MIN for what does not fit an int (x86's cvttss2si).
QUANTIZED_HOST_DEVICE inline int TruncateToInt(float value) {
  return value >= -2147483648.0f && value < 2147483648.0f ? static_cast<int>(value) : INT_MIN;
}

// Nearest integer, halves away from zero; INT_MIN for what does not fit an int.
QUANTIZED_HOST_DEVICE inline int RoundHalfAway(float value) {
  return TruncateToInt(std::round(value));
}

QUANTIZED_HOST_DEVICE inline int Clamp(int value, int low, int high) {
  return value < low ? low : value > high ? high : value;
}

QUANTIZED_HOST_DEVICE inline int AtMost(int value, int high) { return value < high ? value : high; }

// The smaller and the larger of two, spelled with `<` so that a NaN takes no part.
QUANTIZED_HOST_DEVICE inline float SmallerOf(float running, float value) {
  return value < running ? value : running;
}
QUANTIZED_HOST_DEVICE inline float LargerOf(float running, float value) {
  return value > running ? value : running;
}

}  // namespace quantized::kernels
