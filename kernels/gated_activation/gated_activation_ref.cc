#include "kernels/gated_activation/gated_activation.h"

namespace quantized::kernels {

void GatedActivationRef(Activation activation, size_t count, const float* gate, const float* up,
                        float* out) {
  for (size_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>(Activate<double>(activation, gate[i]) * up[i]);
  }
}

}  // namespace quantized::kernels
