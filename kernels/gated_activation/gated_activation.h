// The gate of a feed-forward block (Shazeer, 2020): out = act(gate) * up, elementwise, f32, any
// alignment.
//
//   kSilu       act(x) = x / (1 + exp(-x))
//   kGeluTanh   act(x) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) * (x + 0.044715 x^3), which is
//               x / 2 * (1 + tanh(u)) without its cancellation for x < 0
//
// Bounded. Error against double precision: at most (8 + 4 |z|) * 2^-24 of the result, where z is
// what exp is taken of (-x, -2 u), plus 2^-120 * (1 + |x|) * |up| where exp leaves the range of f32
// (z beyond +-87). An element's result depends on that element only, on each instruction set.
#pragma once

#include <cmath>
#include <cstddef>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

enum class Activation { kSilu, kGeluTanh };

// `out` may be `gate` or `up`. Values are finite and act(gate) * up is, too.
void GatedActivationRef(Activation activation, size_t count, const float* gate, const float* up,
                        float* out);
void GatedActivationSimd(Activation activation, size_t count, const float* gate, const float* up,
                         float* out);
// The same on a device, in its memory; returns a cudaError_t (kernels/forward_cuda).
int GatedActivationCuda(Activation activation, size_t count, const float* gate, const float* up,
                        float* out, void* stream);

// act(x) in the precision of T, float or double.
template <class T>
QUANTIZED_HOST_DEVICE inline T Activate(Activation activation, T x) {
  constexpr T kTwoRootsOf2ByPi = static_cast<T>(1.5957691216057308);  // 2 * sqrt(2 / pi)
  const T z = activation == Activation::kSilu
                  ? -x
                  : -kTwoRootsOf2ByPi * (x + static_cast<T>(0.044715) * x * x * x);
  return x / (1 + std::exp(z));
}

}  // namespace quantized::kernels
