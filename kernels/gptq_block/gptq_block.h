// The steps of GPTQ and of coordinate descent that go column by column: the code of one column of a
// weight, and what its error means for the columns after it. docs/design/gptq.md.
//
// Layout: a block is values[columns, rows], column by column, so that a lane is a row; `rows` is a
// multiple of 64. scale[rows] and zero[rows] are those of the column's group
// (kernels/group_range/group_range.h).
// Exact: both forms give the same bits for finite values; a product and a sum are rounded apart.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quantized::kernels {

// The grid of a column.
struct ColumnGrid {
  const float* scale;
  const float* zero;
  int bits;
};

// values: the column and the `following` ones of its block. factor: U_ii and the `following`
// elements to its right, U the upper triangular factor with Uᵀ·U = inverse(H). With e = (w -
// decoded code) / U_ii the columns after it become w_j - e * U_ij (arXiv 2210.17323, equations 2
// and 3). The column becomes what its codes stand for. Writes codes[rows] and errors[rows] (e).
void GptqColumnRef(float* values, size_t following, size_t rows, const float* factor,
                   const ColumnGrid& grid, uint8_t* codes, float* errors);
void GptqColumnSimd(float* values, size_t following, size_t rows, const float* factor,
                    const ColumnGrid& grid, uint8_t* codes, float* errors);

// One step of coordinate descent on tr(D·H·Dᵀ), D = decoded - weight. gradient: block of D·H;
// values: the column's decoded values; gram: row of the block's square of H for this column,
// gram[column] its diagonal. The code becomes the nearest one to decoded - gradient / H_ii, which
// is where the loss is least along this coordinate, if it moves further than half a step.
// change[rows]: new - old value. Adds change * gram[j] to all `columns` columns of gradient.
void DescentColumnRef(float* gradient, size_t columns, size_t column, size_t rows,
                      const float* gram, const ColumnGrid& grid, float* values, uint8_t* codes,
                      float* change);
void DescentColumnSimd(float* gradient, size_t columns, size_t column, size_t rows,
                       const float* gram, const ColumnGrid& grid, float* values, uint8_t* codes,
                       float* change);

}  // namespace quantized::kernels
