// The sixteen levels of IQ4_NL and IQ4_XS, which lie closer together around zero, and the scale of
// 32 values with codes that stand for them.
//
// The search: with m the first value of largest magnitude, a candidate is an inverse scale s; each
// value takes the level q nearest to s x. Its best scale is A / B with A = sum w q x and
// B = sum w q q, and it explains A^2 / B of the energy. First s = 1 / (m / 127), then
// s = (k - 127) / m for k = -7 … 7, each taken where it is strictly better.
// Sums run in the order of the values, each product and sum rounded to f32; products from the left.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/search/importance.h"
#include "kernels/search/symmetric.h"
#include "kernels/types/extremes.h"
#include "kernels/types/host_device.h"

namespace quantized::kernels {

inline constexpr int kIQ4Levels = 16;
inline constexpr int kIQ4Values = 32;  // per scale
inline constexpr int kIQ4Tries = 7;    // candidates on each side of -127 / m
inline constexpr float kIQ4LowestLevel = -127;

// Level of code 0 … 15, ascending.
QUANTIZED_HOST_DEVICE constexpr float IQ4Level(int code) {
  constexpr int8_t kLevels[kIQ4Levels] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};
  return kLevels[code];
}

// From here on, code + 1 is nearer than code. Multiples of 1/2: around them the distances to both
// levels are exact in f32, so comparing a value with the middle is comparing its distances.
QUANTIZED_HOST_DEVICE constexpr float IQ4Middle(int code) {
  return 0.5f * (IQ4Level(code) + IQ4Level(code + 1));
}

// The code of the nearest level; of two equally near ones, the upper. NaN has code 15.
QUANTIZED_HOST_DEVICE inline int NearestIQ4(float value) {
  int code = 0;
  for (int k = 0; k + 1 < kIQ4Levels; ++k) code += value < IQ4Middle(k) ? 0 : 1;
  return code;
}

QUANTIZED_HOST_DEVICE inline void EncodeIQ4(const float* x, float inverse, uint8_t* codes) {
  for (int i = 0; i < kIQ4Values; ++i) {
    codes[i] = static_cast<uint8_t>(NearestIQ4(inverse * x[i]));
  }
}

struct IQ4Sums {
  float qx = 0, q2 = 0;
};

QUANTIZED_HOST_DEVICE inline IQ4Sums IQ4Candidate(const float* x, const float* weights,
                                                  float inverse) {
  IQ4Sums sums;
  for (int i = 0; i < kIQ4Values; ++i) {
    const float q = IQ4Level(NearestIQ4(inverse * x[i]));
    sums.qx += weights[i] * q * x[i];
    sums.q2 += weights[i] * q * q;
  }
  return sums;
}

// Returns the scale; 0 where the largest magnitude is below kSmallestMagnitude.
QUANTIZED_HOST_DEVICE inline float SearchIQ4(const float* x, const float* weights) {
  const float largest = FirstLargest(x, kIQ4Values);
  if (std::fabs(largest) < kSmallestMagnitude) return 0;
  const IQ4Sums first = IQ4Candidate(x, weights, 1 / (-largest / kIQ4LowestLevel));
  float scale = first.q2 > 0 ? first.qx / first.q2 : 0.0f;
  float best = scale * first.qx;
  for (int k = -kIQ4Tries; k <= kIQ4Tries; ++k) {
    const float inverse = (static_cast<float>(k) + kIQ4LowestLevel) / largest;
    const IQ4Sums sums = IQ4Candidate(x, weights, inverse);
    if (sums.q2 > 0 && sums.qx * sums.qx > best * sums.q2) {
      scale = sums.qx / sums.q2;
      best = scale * sums.qx;
    }
  }
  return scale;
}

// The weights of the kCount values of a block: importance * sqrt(v + x^2) with v twice the mean
// square. The factor 2 / kCount is one number: the sum may be too large to be doubled.
template <int kCount>
QUANTIZED_HOST_DEVICE void WeighIQ4(const float* x, const float* importance, float* weights) {
  WeighValues<kCount>(x, importance, SumOfSquares(x, kCount) * (2.0f / kCount), weights);
}

// Without importance: x^2.
template <int kCount>
QUANTIZED_HOST_DEVICE void WeighIQ4(const float* x, float* weights) {
  for (int i = 0; i < kCount; ++i) weights[i] = x[i] * x[i];
}

}  // namespace quantized::kernels
