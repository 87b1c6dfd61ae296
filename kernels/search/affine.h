// Scale and minimum of a few values with codes 0 … n, by weighted least squares over a grid of
// candidates. Used by Q2_K, Q4_K and Q5_K, and with importance also by
// Q4_1 and Q5_1. A value is decoded as scale * code + min, min <= 0.
//
// Starts from the codes that span min … max. Candidate k = 0 … steps has the inverse scale
// s_k = (first + step * k + n) / (max - min) and codes l = clamp(round(s_k (x - min))); the best
// scale and minimum for these codes solve a 2x2 system (a positive minimum is replaced by 0), and
// the candidate is taken where its error is strictly smaller. An accepted candidate's minimum is
// the one that the next candidates' codes start from; max stays.
// The error is the weighted sum of squared differences, or of absolute ones. Sums run in the order
// of the values, each product and sum rounded to f32.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

// The grid of one type.
struct AffineGrid {
  float first;
  float step;
  int steps;
  bool absolute_error;  // else squared
};

// Of all types with importance.
inline constexpr AffineGrid kWeighedGrid = {-0.9f, 0.05f, 36, /*absolute_error=*/false};

// A value is scale * code - min: the minimum is stored negated, so min >= 0.
struct AffineFit {
  float scale;
  float min;
};

// The scales, or the minima, of a block's sub-blocks once they are quantized: factor * code.
template <int kSubBlocks>
struct SubScales {
  float factor;
  uint8_t codes[kSubBlocks];
};

template <int kValues>
QUANTIZED_HOST_DEVICE float AffineError(const float* x, const float* weights, const uint8_t* codes,
                                        float scale, float min, bool absolute) {
  float error = 0;
  for (int i = 0; i < kValues; ++i) {
    const float difference = scale * static_cast<float>(codes[i]) + min - x[i];
    error += weights[i] * (absolute ? std::fabs(difference) : difference * difference);
  }
  return error;
}

// codes[i] in 0 … kMaxCode. All values equal to the minimum: scale and codes 0.
template <int kValues, int kMaxCode>
QUANTIZED_HOST_DEVICE AffineFit SearchAffine(const float* x, const float* weights, AffineGrid grid,
                                             uint8_t* codes) {
  float min = x[0], max = x[0];
  float sum_w = weights[0], sum_x = sum_w * x[0];
  for (int i = 1; i < kValues; ++i) {
    min = SmallerOf(min, x[i]);
    max = LargerOf(max, x[i]);
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
  }
  if (min > 0) min = 0;
  if (max == min) {
    for (int i = 0; i < kValues; ++i) codes[i] = 0;
    return {0, -min};
  }
  const auto code_of = [](float inverse, float value) {
    return static_cast<uint8_t>(Clamp(NearestInt(inverse * value), 0, kMaxCode));
  };

  const float first_inverse = static_cast<float>(kMaxCode) / (max - min);
  float scale = 1 / first_inverse;
  for (int i = 0; i < kValues; ++i) codes[i] = code_of(first_inverse, x[i] - min);
  float best = AffineError<kValues>(x, weights, codes, scale, min, grid.absolute_error);

  for (int k = 0; k <= grid.steps; ++k) {
    const float inverse =
        (grid.first + grid.step * static_cast<float>(k) + static_cast<float>(kMaxCode)) /
        (max - min);
    uint8_t candidate[kValues];
    float sum_l = 0, sum_l2 = 0, sum_xl = 0;
    for (int i = 0; i < kValues; ++i) {
      candidate[i] = code_of(inverse, x[i] - min);
      const float l = static_cast<float>(candidate[i]), w = weights[i];
      sum_l += w * l;
      sum_l2 += w * l * l;
      sum_xl += w * l * x[i];
    }
    const float determinant = sum_w * sum_l2 - sum_l * sum_l;
    if (!(determinant > 0)) continue;
    float new_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    float new_min = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
    if (new_min > 0) {
      new_min = 0;
      new_scale = sum_xl / sum_l2;
    }
    const float error =
        AffineError<kValues>(x, weights, candidate, new_scale, new_min, grid.absolute_error);
    if (error < best) {
      for (int i = 0; i < kValues; ++i) codes[i] = candidate[i];
      best = error;
      scale = new_scale;
      min = new_min;
    }
  }
  return {scale, -min};
}

}  // namespace quantized::kernels
