// The plain encoders that Q2_K, Q4_K and Q5_K share: they differ in the sizes of sub-blocks and
// codes, in the search's grid and weights, and in how scales and codes are packed. For each
// sub-block the affine search; then the scales are quantized; then the codes are rounded again,
// against the quantized scales. A sub-block whose scale became 0 keeps the codes of the search.
// With importance, the weights are those of kernels/search/importance.h, the search has another
// grid, and the scales are quantized by a search of their own, in which a sub-block weighs as much
// as its values together.
//
// `Block` has kValues, kSubBlocks, kSubValues, kMaxCode, kMaxScale (largest code of scales and
// minima), kGrid, kWeighByMagnitude (weights |x|; else sqrt(mean x^2) + |x|), kMeanSquareFactor and
// the functions EncodeScales(fits, block), SetScales(scales, minima, block), ScaleOf(block,
// sub_block) and PackCodes(codes, block).
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/search/affine.h"
#include "kernels/search/importance.h"
#include "kernels/search/unsigned.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

// `codes`: those of the search.
template <class Block>
QUANTIZED_HOST_DEVICE void RoundAffineCodes(const float* x, uint8_t* codes, Block& block) {
  constexpr int n = Block::kSubValues;
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

template <class Block>
QUANTIZED_HOST_DEVICE void EncodeAffineBlock(const float* x, Block& block) {
  constexpr int n = Block::kSubValues;
  uint8_t codes[Block::kValues];
  AffineFit fits[Block::kSubBlocks];
  for (int j = 0; j < Block::kSubBlocks; ++j) {
    const float* sub_x = x + n * j;
    float base = 0;
    if constexpr (!Block::kWeighByMagnitude) base = std::sqrt(SumOfSquares(sub_x, n) / n);
    float weights[n];
    for (int i = 0; i < n; ++i) weights[i] = base + std::fabs(sub_x[i]);
    fits[j] = SearchAffine<n, Block::kMaxCode>(sub_x, weights, Block::kGrid, codes + n * j);
  }
  EncodeScales(fits, block);
  RoundAffineCodes(x, codes, block);
}

template <class Block>
QUANTIZED_HOST_DEVICE void EncodeWeighedAffineBlock(const float* x, const float* importance,
                                                    Block& block) {
  constexpr int n = Block::kSubValues;
  float weights[Block::kValues];
  WeighBlock<Block::kValues>(x, importance, Block::kMeanSquareFactor, weights);
  uint8_t codes[Block::kValues];
  float scale[Block::kSubBlocks], min[Block::kSubBlocks], weight[Block::kSubBlocks];
  for (int j = 0; j < Block::kSubBlocks; ++j) {
    const AffineFit fit =
        SearchAffine<n, Block::kMaxCode>(x + n * j, weights + n * j, kWeighedGrid, codes + n * j);
    scale[j] = fit.scale;
    min[j] = fit.min;
    weight[j] = SumOf(weights + n * j, n);
  }
  SubScales<Block::kSubBlocks> scales, minima;
  scales.factor = SearchUnsigned<Block::kSubBlocks, Block::kMaxScale>(scale, weight, scales.codes);
  minima.factor = SearchUnsigned<Block::kSubBlocks, Block::kMaxScale>(min, weight, minima.codes);
  SetScales(scales, minima, block);
  RoundAffineCodes(x, codes, block);
}

}  // namespace quantized::kernels
