// A dense matrix of floats that owns its memory: what calibration computes with.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/base/check.h"

namespace quantized {

struct Matrix {
  Matrix() = default;
  Matrix(size_t row_count, size_t col_count)
      : rows(row_count), cols(col_count), values(row_count * col_count) {}

  float* row(size_t index) { return values.data() + index * cols; }
  const float* row(size_t index) const { return values.data() + index * cols; }
  float& at(size_t row, size_t col) { return values[row * cols + col]; }
  float at(size_t row, size_t col) const { return values[row * cols + col]; }
  bool empty() const { return values.empty(); }

  size_t rows = 0, cols = 0;
  std::vector<float> values;  // row-major, without padding
};

// Column i times scales[i]; `scales` has the columns' number.
inline Matrix ScaleColumns(Matrix matrix, std::span<const float> scales) {
  CHECK(scales.size() == matrix.cols);
  for (size_t row = 0; row < matrix.rows; ++row) {
    for (size_t col = 0; col < matrix.cols; ++col) matrix.at(row, col) *= scales[col];
  }
  return matrix;
}

}  // namespace quantized
