#include "kernels/gptq_block/gptq_block.h"
#include "kernels/group_range/group_range.h"

namespace quantized::kernels {

void GptqColumnRef(float* values, size_t following, size_t rows, const float* factor,
                   const ColumnGrid& grid, uint8_t* codes, float* errors) {
  for (size_t row = 0; row < rows; ++row) {
    const float scale = grid.scale[row], zero = grid.zero[row];
    const float code = CodeOf(values[row], scale, zero, MaxCode(grid.bits));
    const float decoded = (code - zero) * scale;
    const float error = (values[row] - decoded) / factor[0];
    codes[row] = static_cast<uint8_t>(code);
    errors[row] = error;
    values[row] = decoded;
    for (size_t j = 1; j <= following; ++j) values[j * rows + row] -= error * factor[j];
  }
}

void DescentColumnRef(float* gradient, size_t columns, size_t column, size_t rows,
                      const float* gram, const ColumnGrid& grid, float* values, uint8_t* codes,
                      float* change) {
  for (size_t row = 0; row < rows; ++row) {
    const float scale = grid.scale[row], zero = grid.zero[row];
    const float target = values[row] - gradient[column * rows + row] / gram[column];
    const float code = CodeOf(target, scale, zero, MaxCode(grid.bits));
    const float decoded = (code - zero) * scale;
    const float moved = decoded - values[row];
    codes[row] = static_cast<uint8_t>(code);
    change[row] = moved;
    values[row] = decoded;
    for (size_t j = 0; j < columns; ++j) gradient[j * rows + row] += moved * gram[j];
  }
}

}  // namespace quantized::kernels
