// Importance weights of single values. A column's importance is the mean square of the activations
// that meet it; a value's weight is importance * sqrt(v + x^2), where v is the mean square of the
// values around it, or twice that (which values and which factor: the type's header). Q6_K takes
// the importance as it is.
#pragma once

#include <cmath>
#include <cstddef>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

// In the order of the values, each square and each sum rounded to f32.
QUANTIZED_HOST_DEVICE inline float SumOfSquares(const float* x, size_t count) {
  float sum = 0;
  for (size_t i = 0; i < count; ++i) sum += x[i] * x[i];
  return sum;
}

QUANTIZED_HOST_DEVICE inline float WeightOf(float x, float importance, float mean_square) {
  return importance * std::sqrt(mean_square + x * x);
}

// The weights of kCount values whose v is `mean_square`.
template <int kCount>
QUANTIZED_HOST_DEVICE void WeighValues(const float* x, const float* importance, float mean_square,
                                       float* weights) {
  for (int i = 0; i < kCount; ++i) weights[i] = WeightOf(x[i], importance[i], mean_square);
}

// The weights of a block of kCount values that stand for themselves: v = factor * mean x^2.
template <int kCount>
QUANTIZED_HOST_DEVICE void WeighBlock(const float* x, const float* importance, float factor,
                                      float* weights) {
  WeighValues<kCount>(x, importance, factor * SumOfSquares(x, kCount) / kCount, weights);
}

QUANTIZED_HOST_DEVICE inline float SumOf(const float* values, int count) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += values[i];
  return sum;
}

}  // namespace quantized::kernels
