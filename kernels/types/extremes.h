// The value that decides a block's scale, and the inverse of that scale.
#pragma once

#include <cmath>

#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

// The first of the `count` values whose magnitude is largest, with its sign; +0 if all are zero.
// A NaN is never chosen.
QUANTIZED_HOST_DEVICE inline float FirstLargest(const float* x, int count) {
  float largest = 0, magnitude = 0;
  for (int i = 0; i < count; ++i) {
    if (std::fabs(x[i]) > magnitude) {
      magnitude = std::fabs(x[i]);
      largest = x[i];
    }
  }
  return largest;
}

// The first of the `count` values that no other is below: of zeros, the first one's sign.
QUANTIZED_HOST_DEVICE inline float FirstSmallest(const float* x, int count) {
  float smallest = x[0];
  for (int i = 1; i < count; ++i) smallest = SmallerOf(smallest, x[i]);
  return smallest;
}

// The largest magnitude of the `count` values. A NaN is taken, so that the scale shows it, unless
// another value follows.
QUANTIZED_HOST_DEVICE inline float LargestMagnitude(const float* x, int count) {
  float max = 0;
  for (int i = 0; i < count; ++i) {
    const float magnitude = std::fabs(x[i]);
    max = max > magnitude ? max : magnitude;
  }
  return max;
}

// 1 / scale; 0 where there is none: for 0, and below about 2^-128, where it overflows. Such a scale
// is 0 as an f16, so the codes mean nothing; this makes them the ones the reference leaves.
QUANTIZED_HOST_DEVICE inline float InverseOrZero(float scale) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  return std::isinf(inverse) ? 0.0f : inverse;
}

}  // namespace quantized::kernels
