// The plain encoder that Q2_K, Q4_K and Q5_K share: they differ in the sizes of sub-blocks and
// codes, in the search's grid and in how scales and codes are packed. For each sub-block the affine
// search; then the scales are quantized; then the codes are rounded again, against the quantized
// scales. A sub-block whose scale became 0 keeps the codes of the search.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/search/affine.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

// `Block` has kValues, kSubBlocks, kSubValues, kMaxCode, kGrid and the functions
// EncodeScales(fits, block), ScaleOf(block, sub_block) and PackCodes(codes, block).
template <class Block>
QUANTIZED_HOST_DEVICE void EncodeAffineBlock(const float* x, Block& block) {
  constexpr int n = Block::kSubValues;
  constexpr AffineGrid grid = Block::kGrid;
  uint8_t codes[Block::kValues];
  AffineFit fits[Block::kSubBlocks];
  for (int j = 0; j < Block::kSubBlocks; ++j) {
    const float* sub_x = x + n * j;
    float base = 0;
    if constexpr (!grid.weigh_by_magnitude) {
      float sum_x2 = 0;
      for (int i = 0; i < n; ++i) sum_x2 += sub_x[i] * sub_x[i];
      base = std::sqrt(sum_x2 / n);
    }
    float weights[n];
    for (int i = 0; i < n; ++i) weights[i] = base + std::fabs(sub_x[i]);
    fits[j] = SearchAffine<n, Block::kMaxCode>(sub_x, weights, grid, codes + n * j);
  }
  EncodeScales(fits, block);
  for (int j = 0; j < Block::kSubBlocks; ++j) {
    const AffineFit sub = ScaleOf(block, j);
    if (sub.scale == 0) continue;
    for (int i = n * j; i < n * j + n; ++i) {
      codes[i] =
          static_cast<uint8_t>(Clamp(NearestInt((x[i] + sub.min) / sub.scale), 0, Block::kMaxCode));
    }
  }
  PackCodes(codes, block);
}

}  // namespace quantized::kernels
