#include "kernels/rotary/rotary.h"

namespace quantized::kernels {

void ApplyRotaryRef(size_t tokens, size_t heads, size_t head_dim, size_t rotary_dim,
                    const float* cos, const float* sin, float* x, size_t stride) {
  const size_t half = rotary_dim / 2;
  for (size_t token = 0; token < tokens; ++token) {
    for (size_t head = 0; head < heads; ++head) {
      float* first = x + token * stride + head * head_dim;
      for (size_t i = 0; i < half; ++i) {
        RotatePair(cos[token * half + i], sin[token * half + i], first[i], first[half + i]);
      }
    }
  }
}

}  // namespace quantized::kernels
