// One factor for a few weighed scales with codes 0 … n, by a grid of candidates and coordinate
// descent. Used for the scales and for the minima of Q2_K, Q4_K and Q5_K with importance.
//
// Candidate k = -4 … 4 has the inverse factor s_k = (0.1 k + n) / max and the error
// sum w (x - l / s_k)^2; k = 0 is tried first, another one is taken where it is strictly better.
// From its codes on, one value after the other tries the code that is best for the factor which the
// other values want, and keeps it where A^2 / B grows (A = sum w x l, B = sum w l l). At most five
// sweeps, fewer when one changes nothing. The result is A / B.
//
// Values are meant to be >= 0. For a negative one a code would be below 0; it wraps around in its
// byte, as the reference's does, and counts as what it has become from then on.
// Sums run in the order of the values, each product and sum rounded to f32.
#pragma once

#include <cstdint>

#include "kernels/search/symmetric.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

// The grid's best inverse factor. `max`: the largest value.
template <int kValues, int kMaxCode>
QUANTIZED_HOST_DEVICE float BestUnsignedInverse(const float* x, const float* weights, float max) {
  const auto error_of = [x, weights](float inverse, auto code_of) {
    const float factor = 1 / inverse;
    float error = 0;
    for (int i = 0; i < kValues; ++i) {
      const float difference = x[i] - factor * static_cast<float>(code_of(inverse * x[i]));
      error += weights[i] * difference * difference;
    }
    return error;
  };
  // Only the first candidate's codes pass through a byte, and are not limited.
  float best_inverse = static_cast<float>(kMaxCode) / max;
  float best = error_of(best_inverse, [](float v) { return static_cast<uint8_t>(NearestInt(v)); });
  for (int k = -4; k <= 4; ++k) {
    if (k == 0) continue;
    const float inverse = (0.1f * static_cast<float>(k) + static_cast<float>(kMaxCode)) / max;
    const float error = error_of(inverse, [](float v) { return AtMost(NearestInt(v), kMaxCode); });
    if (error < best) {
      best = error;
      best_inverse = inverse;
    }
  }
  return best_inverse;
}

// Returns the factor; x[i] is about codes[i] * factor. Where no value reaches kSmallestMagnitude,
// factor and codes are 0.
template <int kValues, int kMaxCode>
QUANTIZED_HOST_DEVICE float SearchUnsigned(const float* x, const float* weights, uint8_t* codes) {
  float max = 0;
  for (int i = 0; i < kValues; ++i) max = max > x[i] ? max : x[i];
  if (max < kSmallestMagnitude) {
    for (int i = 0; i < kValues; ++i) codes[i] = 0;
    return 0;
  }
  const float inverse = BestUnsignedInverse<kValues, kMaxCode>(x, weights, max);
  float a = 0, b = 0;
  for (int i = 0; i < kValues; ++i) {
    const int code = AtMost(NearestInt(inverse * x[i]), kMaxCode);
    const float w = weights[i], l = static_cast<float>(code);
    a += w * x[i] * l;
    b += w * l * l;
    codes[i] = static_cast<uint8_t>(code);
  }
  bool changed = true;
  for (int sweep = 0; sweep < 5 && changed; ++sweep) {
    changed = false;
    for (int i = 0; i < kValues; ++i) {
      const float w = weights[i], old_l = static_cast<float>(codes[i]);
      float new_a = a - w * x[i] * old_l;
      float new_b = b - w * old_l * old_l;
      if (!(new_a > 0 && new_b > 0)) continue;
      const int code = AtMost(NearestInt(x[i] * new_b / new_a), kMaxCode);
      if (code == codes[i]) continue;
      const float l = static_cast<float>(code);
      new_a += w * x[i] * l;
      new_b += w * l * l;
      if (new_a * new_a * b > a * a * new_b) {
        codes[i] = static_cast<uint8_t>(code);
        a = new_a;
        b = new_b;
        changed = true;
      }
    }
  }
  return b > 0 ? a / b : 0.0f;
}

}  // namespace quantized::kernels
