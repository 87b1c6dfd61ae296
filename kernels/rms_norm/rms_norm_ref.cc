#include "kernels/lanes/slots.h"
#include "kernels/rms_norm/rms_norm.h"

namespace quantized::kernels {

void RmsNormRef(size_t rows, size_t cols, const float* x, const float* weight, float epsilon,
                float* out) {
  for (size_t row = 0; row < rows; ++row, x += cols, out += cols) {
    double slots[kSlots] = {};
    for (size_t c = 0; c < cols; ++c) {
      slots[c % kSlots] += static_cast<double>(x[c]) * static_cast<double>(x[c]);
    }
    const float factor = RmsNormFactor(FoldSlots(slots), cols, epsilon);
    for (size_t c = 0; c < cols; ++c) out[c] = x[c] * factor * weight[c];
  }
}

}  // namespace quantized::kernels
