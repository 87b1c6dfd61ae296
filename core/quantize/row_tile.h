// How the calibrated algorithms cut a weight: rows do not depend on each other, so tiles of
// kTileRows rows go to the threads. A tile lies transposed, values[cols, kTileRows], so that a
// vector's lanes are rows (kernels/group_range); rows that the last tile lacks are zeros. Tiles are
// numbered, and what is summed over them is summed in their order: results do not depend on
// threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/packed/quantized_linear.h"
#include "core/tensor/matrix.h"

namespace quantized {

inline constexpr size_t kTileRows = 64;

inline size_t TileCount(size_t rows) { return (rows + kTileRows - 1) / kTileRows; }

// Values [cols, kTileRows] of tile `tile` of `weight`.
std::vector<float> LoadTile(const Matrix& weight, size_t tile);

// The columns in another order: row p of the result is row order[p] of `tile`.
std::vector<float> Reordered(const std::vector<float>& tile, std::span<const uint32_t> order);

// A quantized tile; scale and zero of group g at [g, row].
struct QuantizedTile {
  QuantizedTile(size_t cols, size_t groups)
      : codes(cols * kTileRows), scales(groups * kTileRows), zeros(groups * kTileRows) {}

  std::vector<uint8_t> codes;  // [cols, kTileRows]
  std::vector<float> scales, zeros;
};

// A linear with room for codes, scales and zeros, all 0.
QuantizedLinear EmptyLinear(size_t out, size_t in, size_t group_size, int bits);

// Puts a tile at its place. Tiles may be stored from several threads at once.
void StoreTile(const QuantizedTile& quantized, size_t tile, QuantizedLinear& linear);

}  // namespace quantized
