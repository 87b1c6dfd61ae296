#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/rms_norm/rms_norm.h"

namespace quantized::kernels {
namespace {

constexpr int kWarp = 32, kWarps = 8;

// A warp for each row: lane = slot, so the sum has the plain form's order.
__global__ void __launch_bounds__(kWarp* kWarps)
    RmsNormKernel(uint64_t rows, uint64_t cols, const float* x, const float* weight, float epsilon,
                  float* out) {
  const uint64_t row = uint64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (row >= rows) return;  // the whole warp
  const unsigned lane = threadIdx.x % kWarp;
  x += row * cols;
  out += row * cols;
  double sum = 0;
  for (uint64_t c = lane; c < cols; c += kWarp) {
    sum += static_cast<double>(x[c]) * static_cast<double>(x[c]);
  }
  for (int half = kWarp / 2; half > 0; half /= 2) sum += __shfl_down_sync(~0u, sum, half);
  const float factor = RmsNormFactor(__shfl_sync(~0u, sum, 0), cols, epsilon);
  for (uint64_t c = lane; c < cols; c += kWarp) out[c] = x[c] * factor * weight[c];
}

}  // namespace

int RmsNormCuda(size_t rows, size_t cols, const float* x, const float* weight, float epsilon,
                float* out, void* stream) {
  if (rows == 0) return cudaSuccess;
  const auto blocks = static_cast<unsigned>((rows + kWarps - 1) / kWarps);
  RmsNormKernel<<<blocks, kWarp * kWarps, 0, static_cast<cudaStream_t>(stream)>>>(
      rows, cols, x, weight, epsilon, out);
  return cudaGetLastError();
}

}  // namespace quantized::kernels
