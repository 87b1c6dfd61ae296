// Errors as a layer's output sees them: for rows D and the gram matrix H = mean of x·xᵀ over the
// inputs x, tr(D·H·Dᵀ) is the mean squared length of D·x. Of H [cols, cols] the upper triangle is
// read. Tiles: core/quantize/row_tile.h. Bounded, not exact: sums by kernels/blas.
#pragma once

#include <cstddef>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/tensor/matrix.h"

namespace quantized {

// Columns that the algorithms take at once where H meets a tile.
inline constexpr size_t kBlockColumns = 128;

// The square of H from column `begin` on, both triangles: [count, count].
std::vector<float> DiagonalSquare(const Matrix& gram, size_t begin, size_t count);

// tr(D·H·Dᵀ) for the tile D [cols, kTileRows].
double TileLoss(const std::vector<float>& tile, const Matrix& gram);

// tr(D·H·Dᵀ) for all rows of D.
double GramLoss(const Matrix& difference, const Matrix& gram, ThreadPool& threads);

}  // namespace quantized
