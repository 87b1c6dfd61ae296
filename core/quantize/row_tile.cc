#include "core/quantize/row_tile.h"

#include <algorithm>

namespace quantized {
namespace {

size_t RowsOfTile(size_t tile, size_t rows) { return std::min(kTileRows, rows - tile * kTileRows); }

}  // namespace

std::vector<float> LoadTile(const Matrix& weight, size_t tile) {
  std::vector<float> values(weight.cols * kTileRows);
  for (size_t row = 0; row < RowsOfTile(tile, weight.rows); ++row) {
    const float* from = weight.row(tile * kTileRows + row);
    for (size_t col = 0; col < weight.cols; ++col) values[col * kTileRows + row] = from[col];
  }
  return values;
}

std::vector<float> Reordered(const std::vector<float>& tile, std::span<const uint32_t> order) {
  std::vector<float> reordered(tile.size());
  for (size_t position = 0; position < order.size(); ++position) {
    const float* from = tile.data() + order[position] * kTileRows;
    std::copy(from, from + kTileRows, reordered.data() + position * kTileRows);
  }
  return reordered;
}

QuantizedLinear EmptyLinear(size_t out, size_t in, size_t group_size, int bits) {
  QuantizedLinear linear;
  linear.out = out;
  linear.in = in;
  linear.group_size = group_size;
  linear.bits = bits;
  linear.codes.resize(out * in);
  linear.scales = Matrix(out, in / group_size);
  linear.zeros.resize(linear.scales.values.size());
  return linear;
}

void StoreTile(const QuantizedTile& quantized, size_t tile, QuantizedLinear& linear) {
  const size_t groups = linear.scales.cols;
  for (size_t row = 0; row < RowsOfTile(tile, linear.out); ++row) {
    const size_t to = tile * kTileRows + row;
    for (size_t col = 0; col < linear.in; ++col) {
      linear.codes[to * linear.in + col] = quantized.codes[col * kTileRows + row];
    }
    for (size_t group = 0; group < groups; ++group) {
      linear.scales.at(to, group) = quantized.scales[group * kTileRows + row];
      linear.zeros[to * groups + group] =
          static_cast<uint8_t>(quantized.zeros[group * kTileRows + row]);
    }
  }
}

}  // namespace quantized
