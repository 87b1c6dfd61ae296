// What one thread of the device does: it encodes one block, with the function of one block that the
// plain form uses, too. So the CUDA form can differ from the plain one by what the arithmetic of
// the device does, and by nothing else; a test runs this code on the processor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/iq_grids/iq_grids.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/quant_type.h"

namespace quantized::kernels {

// Rows of `cols` values and where their blocks go. `source` is aligned for its type, `out` need not
// be.
struct DeviceRows {
  const void* source;
  TypeId source_type;         // kF32, kF16 or kBF16
  size_t cols;                // a multiple of the values of a block
  const float* importance;    // `cols` weights that hold for each row, or null
  const float* mean_squares;  // one for each row, where the type's row kNeedsMeanSquares
  IqGrid grid;                // where the type's row has one
  std::byte* out;
};

// What the encoding of one block depends on.
struct BlockInput {
  const float* x;
  const float* importance;  // null: none
  float mean_square;        // of the block's row, with importance, where the type kNeedsMeanSquares
  const IqGrid& grid;       // where the type has one
};

// kCount values as f32, from value `first` on.
template <int kCount>
QUANTIZED_HOST_DEVICE void LoadValues(const DeviceRows& rows, size_t first, float* x) {
  if (rows.source_type == TypeId::kF32) {
    const float* from = static_cast<const float*>(rows.source) + first;
    for (int i = 0; i < kCount; ++i) x[i] = from[i];
    return;
  }
  const uint16_t* from = static_cast<const uint16_t*>(rows.source) + first;
  if (rows.source_type == TypeId::kF16) {
    for (int i = 0; i < kCount; ++i) x[i] = F16ToF32(from[i]);
  } else {
    for (int i = 0; i < kCount; ++i) x[i] = BF16ToF32(from[i]);
  }
}

// `Row`: one of kernels/cuda/device_types.h. `block`: counts through all rows.
template <class Row>
QUANTIZED_HOST_DEVICE void EncodeOneBlock(const DeviceRows& rows, size_t block) {
  using Block = typename Row::Block;
  constexpr int n = Block::kValues;
  const size_t first = block * n, row = first / rows.cols, col = first % rows.cols;
  float x[n];
  LoadValues<n>(rows, first, x);
  BlockInput input = {.x = x, .importance = nullptr, .mean_square = 0, .grid = rows.grid};
  if (rows.importance != nullptr) {
    input.importance = rows.importance + col;
    if constexpr (Row::kNeedsMeanSquares) input.mean_square = rows.mean_squares[row];
  }
  Block encoded;
  Row::Encode(input, encoded);
  std::memcpy(rows.out + block * sizeof(Block), &encoded, sizeof(Block));
}

// The mean square of row `row`, summed in the order of the values, each square and each sum rounded
// to f32. `cols` is a multiple of 32.
QUANTIZED_HOST_DEVICE inline float MeanSquareOfRow(const DeviceRows& rows, size_t row) {
  constexpr int n = 32;
  float sum = 0;
  for (size_t col = 0; col < rows.cols; col += n) {
    float x[n];
    LoadValues<n>(rows, row * rows.cols + col, x);
    for (int i = 0; i < n; ++i) sum += x[i] * x[i];
  }
  return sum / static_cast<float>(rows.cols);
}

}  // namespace quantized::kernels
