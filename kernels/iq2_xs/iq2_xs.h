// IQ2_XS: 256 values in 16 sub-blocks of 16; each group of 8 values is one of 512 grid points with
// the levels 1, 3, 5 and seven signs; each sub-block has a 4-bit scale; they share one f16 factor.
// 74 bytes. A value is d * (scale[j] + 0.5) / 4 * level, where the levels are 8, 25 and 43, with
// its sign. Word k of `groups` holds the point of group k in its low 9 bits, the signs above them;
// their number is even with the eighth. The scale of sub-block j is half j % 2 (0: low) of byte j
// / 2.
//
// Encoding: kernels/iq_grids/grid_search.h; groups off the grid are placed again. Importance is
// required.
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

struct BlockIQ2XS {
  static constexpr int kValues = 256;
  // The search: kernels/iq_grids/grid_search.h.
  static constexpr int kSubValues = 16;
  using Cube = TernaryCube;
  static constexpr int kCandidates = 9;
  static constexpr float kStep = 0.1f;
  static constexpr Refit kRefit = Refit::kOffGrid;
  static constexpr bool kUnsignedStart = false;
  static constexpr float kSmallest = kSmallestMagnitude;
  // Around it: kernels/iq_grids/grid_block.h.
  static constexpr float kMeanSquareFactor = 1.0f;
  static constexpr bool kEvenSigns = true;
  static constexpr float kScaleFactor = 1.0f;
  static constexpr bool kKeepsEmpty = false;

  uint16_t d;  // f16
  uint16_t groups[kValues / 8];
  uint8_t scales[kValues / 32];
};
static_assert(sizeof(BlockIQ2XS) == 74);

QUANTIZED_HOST_DEVICE inline void PackGrid(const GridBlock<BlockIQ2XS>& found,
                                           const GridScales<BlockIQ2XS>& scales,
                                           BlockIQ2XS& block) {
  for (int k = 0; k < BlockIQ2XS::kValues / 8; ++k) {
    block.groups[k] = static_cast<uint16_t>(found.points[k] | (found.signs[k] & 127) << 9);
  }
  PackScaleNibbles(scales, block.scales);
}

// `importance` is not null; `grid` is IQ2XSGrid().
QUANTIZED_HOST_DEVICE inline void EncodeBlockIQ2XS(const float* x, const float* importance,
                                                   const IqGrid& grid, BlockIQ2XS& block) {
  EncodeGridBlock(x, importance, grid, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockIQ2XS(const BlockIQ2XS& block, const IqGrid& grid,
                                                   float* out) {
  const float levels[] = {8, 25, 43};
  for (int k = 0; k < BlockIQ2XS::kValues / 8; ++k) {
    const auto scale = static_cast<float>(ScaleNibble(block.scales, k / 2));
    DecodeGroup<TernaryCube>(grid.DigitsOf(block.groups[k] & 511), EvenSigns(block.groups[k] >> 9),
                             F16ToF32(block.d) * (0.5f + scale) * 0.25f, levels, out + 8 * k);
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeIQ2XSRef(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void EncodeIQ2XSSimd(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out);
void DecodeIQ2XS(const std::byte* in, size_t count, float* out);
bool IsFiniteIQ2XS(const std::byte* in, size_t count);

}  // namespace quantized::kernels
