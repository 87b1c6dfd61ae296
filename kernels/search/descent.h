// The scale of a few values with symmetric codes -n … n-1, by coordinate descent. Used by Q3_K.
//
// Starts from the codes that give the first value of largest magnitude the code -n. Then, one value
// after the other, tries the code that is best for the scale which the other values want, and
// keeps it where A^2 / B grows (A = sum w x l, B = sum w l l, w = x^2). At most five sweeps, fewer
// when one changes nothing. Every acceptance changes A and B for the next value, so the order of
// the values is part of the result.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/search/symmetric.h"
#include "kernels/types/extremes.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

inline constexpr int kDescentSweeps = 5;

// Returns the scale; codes[i] in 0 … 2n-1 stands for (codes[i] - n) * scale. Where the largest
// magnitude is below kSmallestMagnitude, scale and codes are 0.
template <int kValues, int kLevels>
QUANTIZED_HOST_DEVICE float SearchDescent(const float* x, uint8_t* codes) {
  const float largest = FirstLargest(x, kValues);
  if (std::fabs(largest) < kSmallestMagnitude) {
    for (int i = 0; i < kValues; ++i) codes[i] = 0;
    return 0;
  }
  const float inverse = static_cast<float>(-kLevels) / largest;
  int level[kValues];
  float a = 0, b = 0;
  for (int i = 0; i < kValues; ++i) {
    level[i] = Clamp(NearestInt(inverse * x[i]), -kLevels, kLevels - 1);
    const float w = x[i] * x[i], l = static_cast<float>(level[i]);
    a += w * x[i] * l;
    b += w * l * l;
  }
  bool changed = true;
  for (int sweep = 0; sweep < kDescentSweeps && changed; ++sweep) {
    changed = false;
    for (int i = 0; i < kValues; ++i) {
      const float w = x[i] * x[i], old_l = static_cast<float>(level[i]);
      float new_a = a - w * x[i] * old_l;
      if (!(new_a > 0)) continue;
      float new_b = b - w * old_l * old_l;
      const int new_level = Clamp(NearestInt(x[i] * new_b / new_a), -kLevels, kLevels - 1);
      if (new_level == level[i]) continue;
      const float l = static_cast<float>(new_level);
      new_a += w * x[i] * l;
      new_b += w * l * l;
      if (new_b > 0 && new_a * new_a * b > a * a * new_b) {
        level[i] = new_level;
        a = new_a;
        b = new_b;
        changed = true;
      }
    }
  }
  for (int i = 0; i < kValues; ++i) codes[i] = static_cast<uint8_t>(level[i] + kLevels);
  return b > 0 ? a / b : 0.0f;
}

}  // namespace quantized::kernels
