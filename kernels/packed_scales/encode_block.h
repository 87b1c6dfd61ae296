// The encoder that Q4_K and Q5_K share: they differ in the number of codes, in the search's grid
// and in how codes are packed.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/packed_scales/packed_scales.h"
#include "kernels/search/affine.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

// `Block` has kValues, kSubBlocks, kSubValues, kMaxCode, kGrid, `scales` and PackCodes().
template <class Block>
QUANTIZED_HOST_DEVICE void EncodeBlockWithPackedScales(const float* x, Block& block) {
  constexpr int n = Block::kSubValues;
  uint8_t codes[Block::kValues];
  AffineFit fits[Block::kSubBlocks];
  for (int j = 0; j < Block::kSubBlocks; ++j) {
    const float* sub_x = x + n * j;
    float sum_x2 = 0;
    for (int i = 0; i < n; ++i) sum_x2 += sub_x[i] * sub_x[i];
    const float root_mean_square = std::sqrt(sum_x2 / n);
    float weights[n];
    for (int i = 0; i < n; ++i) weights[i] = root_mean_square + std::fabs(sub_x[i]);
    fits[j] = SearchAffine<n, Block::kMaxCode>(sub_x, weights, Block::kGrid, codes + n * j);
  }
  PackScales(fits, block.scales);
  for (int j = 0; j < Block::kSubBlocks; ++j) {
    const AffineFit sub = UnpackScale(block.scales, j);
    if (sub.scale == 0) continue;
    for (int i = n * j; i < n * j + n; ++i) {
      codes[i] =
          static_cast<uint8_t>(Clamp(NearestInt((x[i] + sub.min) / sub.scale), 0, Block::kMaxCode));
    }
  }
  PackCodes(codes, block);
}

}  // namespace quantized::kernels
