// IQ3_XXS: 256 values in 8 sub-blocks of 32; each group of 4 values is one of 256 grid points with
// the levels 1, 3 … 15; each 8 values have seven signs; each sub-block has a 4-bit scale; they
// share one f16 factor. 98 bytes. A value is d * (scale[j] + 0.5) / 2 * level, where the levels are
// 4, 12, 20, 28, 36, 44, 52 and 62, with its sign. `words` has a little-endian word for each
// sub-block: bits 7 k … 7 k + 6 are the signs of its values 8 k … 8 k + 7, whose number is even
// with the eighth; the upper four bits are the scale.
//
// Encoding: kernels/iq_grids/grid_search.h; groups off the grid are placed again. Without
// importance a value has the weight x^2.
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

struct BlockIQ3XXS {
  static constexpr int kValues = 256;
  // The search: kernels/iq_grids/grid_search.h.
  static constexpr int kSubValues = 32;
  using Cube = OctalCube;
  static constexpr int kCandidates = 15;
  static constexpr float kStep = 0.2f;
  static constexpr Refit kRefit = Refit::kOffGrid;
  static constexpr bool kUnsignedStart = false;
  static constexpr float kSmallest = 1e-8f;
  // Around it: kernels/iq_grids/grid_block.h.
  static constexpr float kMeanSquareFactor = 2.0f;
  static constexpr bool kEvenSigns = true;
  static constexpr float kScaleFactor = 1.0125f;
  static constexpr bool kKeepsEmpty = false;
  QUANTIZED_HOST_DEVICE static float PlainWeight(float, float x) { return x * x; }

  uint16_t d;  // f16
  uint8_t points[kValues / 4];
  uint8_t words[kValues / 8];
};
static_assert(sizeof(BlockIQ3XXS) == 98);

QUANTIZED_HOST_DEVICE inline void PackGrid(const GridBlock<BlockIQ3XXS>& found,
                                           const GridScales<BlockIQ3XXS>& scales,
                                           BlockIQ3XXS& block) {
  for (int k = 0; k < BlockIQ3XXS::kValues / 4; ++k) {
    block.points[k] = static_cast<uint8_t>(found.points[k]);
  }
  for (int j = 0; j < BlockIQ3XXS::kValues / BlockIQ3XXS::kSubValues; ++j) {
    uint32_t word = static_cast<uint32_t>(scales.codes[j]) << 28;
    for (int k = 0; k < 4; ++k) word |= (found.signs[4 * j + k] & 127u) << (7 * k);
    std::memcpy(block.words + 4 * j, &word, sizeof(word));
  }
}

// `importance` may be null; `grid` is IQ3XXSGrid().
QUANTIZED_HOST_DEVICE inline void EncodeBlockIQ3XXS(const float* x, const float* importance,
                                                    const IqGrid& grid, BlockIQ3XXS& block) {
  EncodeGridBlock(x, importance, grid, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockIQ3XXS(const BlockIQ3XXS& block, const IqGrid& grid,
                                                    float* out) {
  const float levels[] = {4, 12, 20, 28, 36, 44, 52, 62};
  for (int j = 0; j < BlockIQ3XXS::kValues / BlockIQ3XXS::kSubValues; ++j) {
    uint32_t word;
    std::memcpy(&word, block.words + 4 * j, sizeof(word));
    const float factor = F16ToF32(block.d) * (0.5f + static_cast<float>(word >> 28)) * 0.5f;
    for (int k = 0; k < 8; ++k) {
      const uint32_t signs = EvenSigns(word >> (7 * (k / 2)));
      DecodeGroup<OctalCube>(grid.DigitsOf(block.points[8 * j + k]), signs >> (4 * (k % 2)), factor,
                             levels, out + 32 * j + 4 * k);
    }
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeIQ3XXSRef(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out);
void EncodeIQ3XXSSimd(const float* x, const float* importance, size_t rows, size_t cols,
                      std::byte* out);
void DecodeIQ3XXS(const std::byte* in, size_t count, float* out);
bool IsFiniteIQ3XXS(const std::byte* in, size_t count);

}  // namespace quantized::kernels
