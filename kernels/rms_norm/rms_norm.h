// Root mean square normalization of rows (Zhang and Sennrich, 2019, equation 4, with the epsilon of
// its implementations under the root):
//
//   out[r, c] = x[r, c] * weight[c] / sqrt(mean over c of x[r, c]^2 + epsilon)
//
// x and out are [rows, cols], row-major without padding, f32; weight is [cols]. The squares are
// summed in double, in 32 slots (kernels/lanes/slots.h), where each square is exact; the factor
// 1 / sqrt(...) is rounded to f32 once, then x * factor and that times weight are.
//
// All forms give the same bits. Error against double precision: at most 2^-22 of the result, plus
// 2^-149 * (1 + |weight|) where products are subnormal, for |x| <= 2^120 and epsilon >= 2^-60.
// A row's result depends on that row only, so rows may be split among threads anyhow.
#pragma once

#include <cmath>
#include <cstddef>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

// `out` may be `x`. cols >= 1; epsilon > 0, or a row of zeros becomes NaN.
void RmsNormRef(size_t rows, size_t cols, const float* x, const float* weight, float epsilon,
                float* out);
void RmsNormSimd(size_t rows, size_t cols, const float* x, const float* weight, float epsilon,
                 float* out);

// The same on a device, in its memory; returns a cudaError_t (kernels/forward_cuda).
int RmsNormCuda(size_t rows, size_t cols, const float* x, const float* weight, float epsilon,
                float* out, void* stream);

// The factor of a row whose squares sum to `sum`.
QUANTIZED_HOST_DEVICE inline float RmsNormFactor(double sum, size_t cols, float epsilon) {
  return static_cast<float>(1 / std::sqrt(sum / static_cast<double>(cols) + epsilon));
}

}  // namespace quantized::kernels
