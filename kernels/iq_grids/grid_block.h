// What the blocks of the IQ2 and IQ3 types share around their search (grid_search.h): weights and
// signs before it, quantized scales after it.
//
// Weights: with importance those of kernels/search/importance.h; without, Block::PlainWeight.
// Scales: the largest one is 31 d; code c stands for (2 c + 1) d; d is stored as an f16, multiplied
// by Block::kScaleFactor. Where the search found no scale the block is not encodable: its d is a
// NaN, which `is_finite` refuses.
//
// A Block says, beyond what the search needs: kMeanSquareFactor, kEvenSigns, kScaleFactor;
// kKeepsEmpty, whether a block without any scale keeps its points and signs or is all zeros; and,
// unless importance is required, PlainWeight(mean_square, x).
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/iq_grids/grid_search.h"
#include "kernels/iq_grids/iq_grids.h"
#include "kernels/iq_grids/signs.h"
#include "kernels/search/importance.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

// `importance` may be null where the Block has a PlainWeight.
template <class Block>
QUANTIZED_HOST_DEVICE void WeighGrid(const float* x, const float* importance,
                                     GridBlock<Block>& block) {
  if constexpr (requires { Block::PlainWeight(0.0f, 0.0f); }) {
    if (importance == nullptr) {
      const float mean_square =
          Block::kMeanSquareFactor * SumOfSquares(x, Block::kValues) / Block::kValues;
      for (int i = 0; i < Block::kValues; ++i) {
        block.weights[i] = Block::PlainWeight(mean_square, x[i]);
      }
      for (int i = 0; i < Block::kValues; ++i) block.roots[i] = std::sqrt(block.weights[i]);
      return;
    }
  }
  WeighBlock<Block::kValues>(x, importance, Block::kMeanSquareFactor, block.weights);
  for (int i = 0; i < Block::kValues; ++i) block.roots[i] = std::sqrt(block.weights[i]);
}

template <class Block>
QUANTIZED_HOST_DEVICE void SplitSigns(const float* x, GridBlock<Block>& block) {
  for (int i = 0; i < Block::kValues; i += 8) {
    block.signs[i / 8] = Block::kEvenSigns ? TakeEvenSigns(x + i, block.weights + i, block.x + i)
                                           : TakeSigns(x + i, block.x + i);
  }
}

// The f16 factor and the codes of the scales.
template <class Block>
struct GridScales {
  uint16_t d;
  uint8_t codes[GridBlock<Block>::kSubBlocks];
  bool empty;  // all scales are 0
};

inline constexpr uint16_t kNoScale = 0x7E00;  // a NaN

// Makes the scales positive, at the cost of the signs, and quantizes them.
template <class Block>
QUANTIZED_HOST_DEVICE GridScales<Block> QuantizeScales(GridBlock<Block>& block) {
  constexpr int kSubBlocks = GridBlock<Block>::kSubBlocks, kSignsOfSub = Block::kSubValues / 8;
  GridScales<Block> result = {};
  float max = 0;
  for (int j = 0; j < kSubBlocks; ++j) {
    float& scale = block.scales[j];
    if (scale < 0) {
      scale = -scale;
      for (int g = 0; g < kSignsOfSub; ++g) {
        uint8_t& signs = block.signs[kSignsOfSub * j + g];
        signs = static_cast<uint8_t>(~signs);
      }
    }
    if (!(scale >= 0)) return {kNoScale, {}, true};
    max = LargerOf(max, scale);
  }
  result.empty = max == 0;
  if (result.empty) return result;
  const float d = max / 31, inverse = 1 / d;
  result.d = F32ToF16(d * Block::kScaleFactor);
  for (int j = 0; j < kSubBlocks; ++j) {
    result.codes[j] =
        static_cast<uint8_t>(Clamp(NearestInt(0.5f * (inverse * block.scales[j] - 1)), 0, 15));
  }
  return result;
}

// Scales, points and signs into bytes, by the Block's own PackGrid.
template <class Block>
QUANTIZED_HOST_DEVICE void FinishGrid(GridBlock<Block>& found, Block& block) {
  const GridScales<Block> scales = QuantizeScales(found);
  block = {};
  block.d = scales.d;
  if (scales.d == kNoScale || (scales.empty && !Block::kKeepsEmpty)) return;
  PackGrid(found, scales, block);
}

// Codes of scales as nibbles: that of sub-block j is half j % 2 (0: low) of byte j / 2.
template <class Block>
QUANTIZED_HOST_DEVICE void PackScaleNibbles(const GridScales<Block>& scales, uint8_t* bytes) {
  for (int j = 0; j < GridBlock<Block>::kSubBlocks; j += 2) {
    bytes[j / 2] = static_cast<uint8_t>(scales.codes[j] | scales.codes[j + 1] << 4);
  }
}
QUANTIZED_HOST_DEVICE inline int ScaleNibble(const uint8_t* bytes, int j) {
  return bytes[j / 2] >> (4 * (j % 2)) & 15;
}

// The plain form.
template <class Block>
QUANTIZED_HOST_DEVICE void EncodeGridBlock(const float* x, const float* importance,
                                           const IqGrid& grid, Block& block) {
  GridBlock<Block> work;
  WeighGrid(x, importance, work);
  SplitSigns(x, work);
  SearchGrid(grid, work);
  FinishGrid(work, block);
}

// Decodes the values of one group: factor * level * sign, in this order.
template <class Cube>
QUANTIZED_HOST_DEVICE void DecodeGroup(uint32_t digits, uint32_t signs, float factor,
                                       const float* levels, float* out) {
  for (int i = 0; i < Cube::kDigits; ++i) {
    out[i] = factor * levels[DigitOf<Cube>(digits, i)] * ((signs >> i & 1) != 0 ? -1.0f : 1.0f);
  }
}

}  // namespace quantized::kernels
