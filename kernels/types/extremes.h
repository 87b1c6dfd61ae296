// The value that decides a block's scale.
#pragma once

#include <cmath>

#include "kernels/types/host_device.h"

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

}  // namespace quantized::kernels
