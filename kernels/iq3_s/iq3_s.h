// IQ3_S: 256 values in 8 sub-blocks of 32; each group of 4 values is one of 512 grid points with
// the levels 1, 3 … 15; each value has a sign; each sub-block has a 4-bit scale; they share one f16
// factor. 110 bytes. A value is d * (2 scale[j] + 1) * level with its sign. Byte k of `low` is the
// low part of the point of group k; its ninth bit is bit k % 8 of byte k / 8 of `high`. Bit i % 8
// of byte i / 8 of `signs` is the sign of value i. The scale of sub-block j is half j % 2 (0: low)
// of byte j / 2.
//
// Encoding: kernels/iq_grids/grid_search.h; if any group was off the grid, all of the sub-block are
// placed again. Without importance a value has the weight x^2. A quirk of the reference that is
// part of the bytes: a sub-block of zeros leaves no room in `low` and `signs`, so what follows it
// moves up, and is decoded with the wrong points. `high` and `scales` do not move.
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

struct BlockIQ3S {
  static constexpr int kValues = 256;
  // The search: kernels/iq_grids/grid_search.h.
  static constexpr int kSubValues = 32;
  using Cube = OctalCube;
  static constexpr int kCandidates = 9;
  static constexpr float kStep = 0.2f;
  static constexpr Refit kRefit = Refit::kAllIfAnyOffGrid;
  static constexpr bool kUnsignedStart = false;
  static constexpr float kSmallest = 0;
  // Around it: kernels/iq_grids/grid_block.h.
  static constexpr float kMeanSquareFactor = 2.0f;
  static constexpr bool kEvenSigns = false;
  static constexpr float kScaleFactor = 1.033f;
  static constexpr bool kKeepsEmpty = true;
  QUANTIZED_HOST_DEVICE static float PlainWeight(float, float x) { return x * x; }

  uint16_t d;  // f16
  uint8_t low[kValues / 4];
  uint8_t high[kValues / 32];
  uint8_t signs[kValues / 8];
  uint8_t scales[kValues / 64];
};
static_assert(sizeof(BlockIQ3S) == 110);

QUANTIZED_HOST_DEVICE inline void PackGrid(const GridBlock<BlockIQ3S>& found,
                                           const GridScales<BlockIQ3S>& scales, BlockIQ3S& block) {
  int next = 0;
  for (int j = 0; j < GridBlock<BlockIQ3S>::kSubBlocks; ++j) {
    if (found.empty[j]) continue;
    for (int k = 0; k < 8; ++k) {
      const uint16_t point = found.points[8 * j + k];
      block.low[8 * next + k] = static_cast<uint8_t>(point);
      block.high[j] = static_cast<uint8_t>(block.high[j] | point >> 8 << k);
    }
    for (int k = 0; k < 4; ++k) block.signs[4 * next + k] = found.signs[4 * j + k];
    ++next;
  }
  PackScaleNibbles(scales, block.scales);
}

// `importance` may be null; `grid` is IQ3SGrid().
QUANTIZED_HOST_DEVICE inline void EncodeBlockIQ3S(const float* x, const float* importance,
                                                  const IqGrid& grid, BlockIQ3S& block) {
  EncodeGridBlock(x, importance, grid, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockIQ3S(const BlockIQ3S& block, const IqGrid& grid,
                                                  float* out) {
  const float levels[] = {1, 3, 5, 7, 9, 11, 13, 15};
  for (int k = 0; k < BlockIQ3S::kValues / 4; ++k) {
    const auto scale = static_cast<float>(1 + 2 * ScaleNibble(block.scales, k / 8));
    const int point = block.low[k] | (block.high[k / 8] >> (k % 8) & 1) << 8;
    DecodeGroup<OctalCube>(grid.DigitsOf(point), block.signs[k / 2] >> (4 * (k % 2)),
                           F16ToF32(block.d) * scale, levels, out + 4 * k);
  }
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeIQ3SRef(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeIQ3SSimd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeIQ3S(const std::byte* in, size_t count, float* out);
bool IsFiniteIQ3S(const std::byte* in, size_t count);

}  // namespace quantized::kernels
