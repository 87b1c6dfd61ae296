// The code of a value on an affine grid: value ≈ (code - zero) * scale with code in 0 … max_code.
// The one rounding of AWQ, GPTQ and round-to-nearest; affine_code-inl.h has it for vectors.
#pragma once

#include "kernels/types/rounding.h"

namespace quantized::kernels {

// `low` and `high` for a value beyond them, `low` for NaN.
inline float Between(float value, float low, float high) {
  const float raised = value > low ? value : low;
  return raised < high ? raised : high;
}

// Nearest integer, halves to even, for |value| < 2^22.
inline float NearestSmall(float value) { return (value + kRoundingShift) - kRoundingShift; }

// `zero` is one of the codes, so a quotient beyond ±max_code cannot matter: it is cut off before it
// is rounded, which keeps the rounding in its range.
inline float CodeOf(float value, float scale, float zero, float max_code) {
  const float steps = NearestSmall(Between(value / scale, -max_code, max_code));
  return Between(steps + zero, 0, max_code);
}

}  // namespace quantized::kernels
