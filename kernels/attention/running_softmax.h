// A softmax over keys that come tile by tile (Milakov and Gimelshein, 2018): weights are relative
// to the largest score so far; what was summed before is corrected when a larger one comes. The
// arithmetic of the CUDA form's threads, for the host, too.
#pragma once

#include <cmath>
#include <cstddef>

#include "kernels/attention/attention.h"
#include "kernels/types/host_device.h"

namespace quantized::kernels {

QUANTIZED_HOST_DEVICE inline bool SeesKey(size_t window, size_t query, size_t key) {
  return key <= query && key >= FirstVisibleKey(window, query);
}

QUANTIZED_HOST_DEVICE inline float ScoreOfDot(float dot, float scale, float softcap) {
  const float score = dot * scale;
  return softcap == 0 ? score : softcap * std::tanh(score / softcap);
}

// -infinity is the score of a key that is not seen, and the largest score before there is any.
QUANTIZED_HOST_DEVICE inline float WeightOfScore(float score, float largest) {
  return score == -INFINITY ? 0.0f : std::exp(score - largest);
}

// What sums relative to `before` are multiplied by to be relative to `after`, not less than it.
QUANTIZED_HOST_DEVICE inline float CorrectionOf(float before, float after) {
  return before == after ? 1.0f : std::exp(before - after);
}

}  // namespace quantized::kernels
