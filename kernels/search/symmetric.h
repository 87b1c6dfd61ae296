// The scale of a few values with symmetric codes -n … n-1, by weighted least squares over a
// grid of candidates. Used by Q6_K, and with importance by Q3_K (values and scales), Q4_0 and Q5_0.
//
// With m the first value of largest magnitude, candidate k = -9 … 9 has the inverse scale
// s_k = -(n + 0.1 k) / m and codes l = clamp(round(s_k x)); its best scale is A / B with
// A = sum w x l and B = sum w l l, weights w = x^2, and it explains A^2 / B of the energy. k = 0 is
// tried first; another one is taken where it is strictly better.
// Sums run in the order of the values, each product and sum rounded to f32.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/types/extremes.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

// Blocks whose largest magnitude is below this have scale 0.
inline constexpr float kSmallestMagnitude = 1e-15f;

struct SymmetricSums {
  float xl = 0, l2 = 0;
};

// A and B of the codes that the inverse scale gives; the codes too, offset by n, where asked.
template <int kValues, int kLevels>
QUANTIZED_HOST_DEVICE SymmetricSums SymmetricCandidate(const float* x, const float* weights,
                                                       float inverse, uint8_t* codes) {
  SymmetricSums sums;
  for (int i = 0; i < kValues; ++i) {
    const int l = Clamp(NearestInt(inverse * x[i]), -kLevels, kLevels - 1);
    sums.xl += weights[i] * x[i] * static_cast<float>(l);
    sums.l2 += weights[i] * static_cast<float>(l) * static_cast<float>(l);
    if (codes != nullptr) codes[i] = static_cast<uint8_t>(l + kLevels);
  }
  return sums;
}

// Returns the scale; codes[i] in 0 … 2n-1 stands for (codes[i] - n) * scale. Where the largest
// magnitude is below kSmallestMagnitude, scale and codes are 0.
template <int kValues, int kLevels>
QUANTIZED_HOST_DEVICE float SearchSymmetric(const float* x, const float* weights, uint8_t* codes) {
  const float largest = FirstLargest(x, kValues);
  if (std::fabs(largest) < kSmallestMagnitude) {
    for (int i = 0; i < kValues; ++i) codes[i] = 0;
    return 0;
  }
  const SymmetricSums first = SymmetricCandidate<kValues, kLevels>(
      x, weights, static_cast<float>(-kLevels) / largest, codes);
  float scale = first.l2 != 0 ? first.xl / first.l2 : 0.0f;
  float best = scale * first.xl;
  for (int k = -9; k <= 9; ++k) {
    if (k == 0) continue;
    const float inverse = -(static_cast<float>(kLevels) + 0.1f * static_cast<float>(k)) / largest;
    const SymmetricSums sums = SymmetricCandidate<kValues, kLevels>(x, weights, inverse, nullptr);
    if (sums.l2 > 0 && sums.xl * sums.xl > best * sums.l2) {
      SymmetricCandidate<kValues, kLevels>(x, weights, inverse, codes);
      scale = sums.xl / sums.l2;
      best = scale * sums.xl;
    }
  }
  return scale;
}

}  // namespace quantized::kernels
