// The signs of the IQ2 and IQ3 types: eight bits for eight values, bit i set where value i is
// negative. IQ2_XXS, IQ2_XS and IQ3_XXS store seven and let the eighth make their number even.
#pragma once

#include <cstdint>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

// 1 where an odd number of the low 8 bits is set.
QUANTIZED_HOST_DEVICE constexpr uint32_t ParityOf(uint32_t bits) {
  bits ^= bits >> 4;
  bits ^= bits >> 2;
  bits ^= bits >> 1;
  return bits & 1;
}

// All eight signs, of which the low seven are given.
QUANTIZED_HOST_DEVICE constexpr uint32_t EvenSigns(uint32_t seven) {
  return (seven & 127) | ParityOf(seven & 127) << 7;
}

// Splits eight values into signs and magnitudes. What is not >= 0 is negative, -0 is not.
QUANTIZED_HOST_DEVICE inline uint8_t TakeSigns(const float* x, float* magnitudes) {
  uint32_t signs = 0;
  for (int i = 0; i < 8; ++i) {
    const bool positive = x[i] >= 0;
    magnitudes[i] = positive ? x[i] : -x[i];
    signs |= positive ? 0u : 1u << i;
  }
  return static_cast<uint8_t>(signs);
}

// The first of eight values for which (w x) x is smallest: the one whose sign matters least.
QUANTIZED_HOST_DEVICE inline int LeastImportant(const float* x, const float* weights) {
  int least = 0;
  float smallest = weights[0] * x[0] * x[0];
  for (int i = 1; i < 8; ++i) {
    const float energy = weights[i] * x[i] * x[i];
    if (energy < smallest) {
      smallest = energy;
      least = i;
    }
  }
  return least;
}

// The same with an even number of signs: if need be, the least important value gets the wrong one,
// and a negative magnitude.
QUANTIZED_HOST_DEVICE inline uint8_t TakeEvenSigns(const float* x, const float* weights,
                                                   float* magnitudes) {
  uint32_t signs = TakeSigns(x, magnitudes);
  if (ParityOf(signs) != 0) {
    const int least = LeastImportant(x, weights);
    magnitudes[least] = -magnitudes[least];
    signs ^= 1u << least;
  }
  return static_cast<uint8_t>(signs);
}

}  // namespace quantized::kernels
