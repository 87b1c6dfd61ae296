// Sums that cross lanes: element i is added to slot i mod 32, then the slots are folded in halves
// of 16, 8, 4, 2 and 1. Any vector of up to 32 lanes and a warp of a CUDA device can do it in this
// order, so all of them get the same bits.
#pragma once

#include <cstddef>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

inline constexpr size_t kSlots = 32;

// Folds `count` slots, a power of two, into the first and returns it.
template <class T>
QUANTIZED_HOST_DEVICE inline T FoldSlots(T* slots, size_t count = kSlots) {
  for (size_t half = count / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) slots[i] += slots[i + half];
  }
  return slots[0];
}

}  // namespace quantized::kernels
