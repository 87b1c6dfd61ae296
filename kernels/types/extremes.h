// The value that decides a block's scale.
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

}  // namespace quantized::kernels
