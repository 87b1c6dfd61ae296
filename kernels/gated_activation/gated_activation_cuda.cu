#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/gated_activation/gated_activation.h"

namespace quantized::kernels {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    GateKernel(Activation activation, uint64_t count, const float* gate, const float* up,
               float* out) {
  const uint64_t i = uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) out[i] = Activate(activation, gate[i]) * up[i];
}

}  // namespace

int GatedActivationCuda(Activation activation, size_t count, const float* gate, const float* up,
                        float* out, void* stream) {
  if (count == 0) return cudaSuccess;
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  GateKernel<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(activation, count, gate,
                                                                         up, out);
  return cudaGetLastError();
}

}  // namespace quantized::kernels
