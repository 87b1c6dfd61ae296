// IQ2_S: 256 values in 16 sub-blocks of 16; each group of 8 values is one of 1024 grid points with
// the levels 1, 3, 5 and eight signs; each sub-block has a 4-bit scale; they share one f16 factor.
// 82 bytes. A value is d * (scale[j] + 0.5) / 4 * level, where the levels are 8, 25 and 43, with
// its sign. Byte k of `low` is the low part of the point of group k; its upper two bits are bits 2
// (k % 4) and above of byte k / 4 of `high`. The scale of sub-block j is half j % 2 (0: low) of
// byte j / 2.
//
// Encoding: kernels/iq_grids/grid_search.h; groups off the grid are placed again. Without
// importance a value has the weight 0.25 v + x^2, v being twice the mean square of the block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/iq_grids/grid_block.h"
#include "kernels/iq_grids/iq_grids.h"
#include "kernels/iq_grids/signs.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"

namespace quantized::kernels {

struct BlockIQ2S {
  static constexpr int kValues = 256;
  // The search: kernels/iq_grids/grid_search.h.
  static constexpr int kSubValues = 16;
  using Cube = TernaryCube;
  static constexpr int kCandidates = 9;
  static constexpr float kStep = 0.1f;
  static constexpr Refit kRefit = Refit::kOffGrid;
  static constexpr bool kUnsignedStart = false;
  static constexpr float kSmallest = 1e-8f;
  // Around it: kernels/iq_grids/grid_block.h.
  static constexpr float kMeanSquareFactor = 2.0f;
  static constexpr bool kEvenSigns = false;
  static constexpr float kScaleFactor = 0.9875f;
  static constexpr bool kKeepsEmpty = true;
  QUANTIZED_HOST_DEVICE static float PlainWeight(float mean_square, float x) {
    return 0.25f * mean_square + x * x;
  }

  uint16_t d;  // f16
  uint8_t low[kValues / 8];
  uint8_t signs[kValues / 8];
  uint8_t high[kValues / 32];
  uint8_t scales[kValues / 32];
};
static_assert(sizeof(BlockIQ2S) == 82);

QUANTIZED_HOST_DEVICE inline void PackGrid(const GridBlock<BlockIQ2S>& found,
                                           const GridScales<BlockIQ2S>& scales, BlockIQ2S& block) {
  for (int k = 0; k < BlockIQ2S::kValues / 8; ++k) {
    block.low[k] = static_cast<uint8_t>(found.points[k]);
    block.high[k / 4] =
        static_cast<uint8_t>(block.high[k / 4] | found.points[k] >> 8 << (2 * (k % 4)));
    block.signs[k] = found.signs[k];
  }
  PackScaleNibbles(scales, block.scales);
}

// `importance` may be null; `grid` is IQ2SGrid().
QUANTIZED_HOST_DEVICE inline void EncodeBlockIQ2S(const float* x, const float* importance,
                                                  const IqGrid& grid, BlockIQ2S& block) {
  EncodeGridBlock(x, importance, grid, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockIQ2S(const BlockIQ2S& block, const IqGrid& grid,
                                                  float* out) {
  const float levels[] = {8, 25, 43};
  for (int k = 0; k < BlockIQ2S::kValues / 8; ++k) {
    const auto scale = static_cast<float>(ScaleNibble(block.scales, k / 2));
    const int point = block.low[k] | (block.high[k / 4] >> (2 * (k % 4)) & 3) << 8;
    DecodeGroup<TernaryCube>(grid.DigitsOf(point), block.signs[k],
                             F16ToF32(block.d) * (0.5f + scale) * 0.25f, levels, out + 8 * k);
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeIQ2SRef(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeIQ2SSimd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeIQ2S(const std::byte* in, size_t count, float* out);
bool IsFiniteIQ2S(const std::byte* in, size_t count);

}  // namespace quantized::kernels
