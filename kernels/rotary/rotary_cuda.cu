#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/rotary/rotary.h"

namespace quantized::kernels {
namespace {

constexpr int kThreads = 256;

// A thread for each pair.
__global__ void __launch_bounds__(kThreads)
    RotaryKernel(uint64_t pairs, uint64_t heads, uint64_t head_dim, uint64_t half, const float* cos,
                 const float* sin, float* x, uint64_t stride) {
  const uint64_t pair = uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (pair >= pairs) return;
  const uint64_t i = pair % half, head = pair / half % heads, token = pair / half / heads;
  float* first = x + token * stride + head * head_dim + i;
  RotatePair(cos[token * half + i], sin[token * half + i], first[0], first[half]);
}

}  // namespace

int ApplyRotaryCuda(size_t tokens, size_t heads, size_t head_dim, size_t rotary_dim,
                    const float* cos, const float* sin, float* x, size_t stride, void* stream) {
  const uint64_t pairs = uint64_t{tokens} * heads * (rotary_dim / 2);
  if (pairs == 0) return cudaSuccess;
  const auto blocks = static_cast<unsigned>((pairs + kThreads - 1) / kThreads);
  RotaryKernel<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      pairs, heads, head_dim, rotary_dim / 2, cos, sin, x, stride);
  return cudaGetLastError();
}

}  // namespace quantized::kernels
