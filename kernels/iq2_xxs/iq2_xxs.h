// IQ2_XXS: 256 values in 8 sub-blocks of 32; each group of 8 values is one of 256 grid points with
// the levels 1, 3, 5 and seven signs; each sub-block has a 4-bit scale; they share one f16 factor.
// 66 bytes. A value is d * (scale[j] + 0.5) / 4 * level, where the levels are 8, 25 and 43, with
// its sign. Two little-endian words for each sub-block: byte k of the first is the point of group
// k; bits 7 k … 7 k + 6 of the second are the signs of group k, whose number is even with the
// eighth; the upper four bits of the second are the scale.
//
// Encoding: kernels/iq_grids/grid_search.h, started from the factor of an unsigned search; all
// groups are placed again. Importance is required.
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

struct BlockIQ2XXS {
  static constexpr int kValues = 256;
  // The search: kernels/iq_grids/grid_search.h.
  static constexpr int kSubValues = 32;
  using Cube = TernaryCube;
  static constexpr int kCandidates = 6;
  static constexpr float kStep = 0.1f;
  static constexpr Refit kRefit = Refit::kAll;
  static constexpr bool kUnsignedStart = true;
  // Around it: kernels/iq_grids/grid_block.h.
  static constexpr float kMeanSquareFactor = 1.0f;
  static constexpr bool kEvenSigns = true;
  static constexpr float kScaleFactor = 1.0f;
  static constexpr bool kKeepsEmpty = false;

  uint16_t d;  // f16
  uint8_t words[kValues / 4];
};
static_assert(sizeof(BlockIQ2XXS) == 66);

QUANTIZED_HOST_DEVICE inline void PackGrid(const GridBlock<BlockIQ2XXS>& found,
                                           const GridScales<BlockIQ2XXS>& scales,
                                           BlockIQ2XXS& block) {
  for (int j = 0; j < BlockIQ2XXS::kValues / BlockIQ2XXS::kSubValues; ++j) {
    uint32_t words[2] = {0, static_cast<uint32_t>(scales.codes[j]) << 28};
    for (int k = 0; k < 4; ++k) {
      words[0] |= static_cast<uint32_t>(found.points[4 * j + k]) << (8 * k);
      words[1] |= (found.signs[4 * j + k] & 127u) << (7 * k);
    }
    std::memcpy(block.words + 8 * j, words, sizeof(words));
  }
}

// `importance` is not null; `grid` is IQ2XXSGrid().
QUANTIZED_HOST_DEVICE inline void EncodeBlockIQ2XXS(const float* x, const float* importance,
                                                    const IqGrid& grid, BlockIQ2XXS& block) {
  EncodeGridBlock(x, importance, grid, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockIQ2XXS(const BlockIQ2XXS& block, const IqGrid& grid,
                                                    float* out) {
  const float levels[] = {8, 25, 43};
  for (int j = 0; j < BlockIQ2XXS::kValues / BlockIQ2XXS::kSubValues; ++j) {
    uint32_t words[2];
    std::memcpy(words, block.words + 8 * j, sizeof(words));
    const float factor = F16ToF32(block.d) * (0.5f + static_cast<float>(words[1] >> 28)) * 0.25f;
    for (int k = 0; k < 4; ++k) {
      DecodeGroup<TernaryCube>(grid.DigitsOf(words[0] >> (8 * k) & 255),
                               EvenSigns(words[1] >> (7 * k)), factor, levels,
                               out + 32 * j + 8 * k);
    }
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeIQ2XXSRef(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out);
void EncodeIQ2XXSSimd(const float* x, const float* importance, size_t rows, size_t cols,
                      std::byte* out);
void DecodeIQ2XXS(const std::byte* in, size_t count, float* out);
bool IsFiniteIQ2XXS(const std::byte* in, size_t count);

}  // namespace quantized::kernels
