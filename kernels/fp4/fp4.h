// The 4-bit floating-point values 0, 0.5, 1, 1.5, 2, 3, 4 and 6 with a sign bit (E2M1): what MXFP4
// and NVFP4 share. Levels here are twice those values, and scales half the stored ones.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

// Of code 0 … 15: bit 3 is the sign. Code 8 stands for 0 and is never written.
QUANTIZED_HOST_DEVICE constexpr float Fp4Level(int code) {
  constexpr uint8_t kMagnitudes[8] = {0, 1, 2, 3, 4, 6, 8, 12};
  const int magnitude = kMagnitudes[code & 7];
  return static_cast<float>(code < 8 ? magnitude : -magnitude);
}

// The first code with the smallest |level * scale - value|, each operation rounded to f32.
QUANTIZED_HOST_DEVICE inline int NearestFp4(float value, float scale) {
  int nearest = 0;
  float error = std::fabs(Fp4Level(0) * scale - value);
  for (int code = 1; code < 16; ++code) {
    const float candidate = std::fabs(Fp4Level(code) * scale - value);
    if (candidate < error) {
      error = candidate;
      nearest = code;
    }
  }
  return nearest;
}

// The codes of kValues values: byte j holds value j in its low half and value j + kValues / 2 in
// its high half.
template <int kValues>
QUANTIZED_HOST_DEVICE void EncodeFp4(const float* x, float scale, uint8_t* nibbles) {
  constexpr int kHalf = kValues / 2;
  for (int j = 0; j < kHalf; ++j) {
    nibbles[j] =
        static_cast<uint8_t>(NearestFp4(x[j], scale) | NearestFp4(x[j + kHalf], scale) << 4);
  }
}

template <int kValues>
QUANTIZED_HOST_DEVICE void DecodeFp4(const uint8_t* nibbles, float scale, float* out) {
  constexpr int kHalf = kValues / 2;
  for (int j = 0; j < kHalf; ++j) {
    out[j] = Fp4Level(nibbles[j] & 15) * scale;
    out[j + kHalf] = Fp4Level(nibbles[j] >> 4) * scale;
  }
}

}  // namespace quantized::kernels
