#include "core/quantize/gram_loss.h"

#include <algorithm>
#include <numeric>

#include "core/quantize/row_tile.h"
#include "kernels/blas/blas.h"

namespace quantized {

std::vector<float> DiagonalSquare(const Matrix& gram, size_t begin, size_t count) {
  std::vector<float> square(count * count);
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = i; j < count; ++j) {
      square[i * count + j] = square[j * count + i] = gram.at(begin + i, begin + j);
    }
  }
  return square;
}

double TileLoss(const std::vector<float>& tile, const Matrix& gram) {
  const size_t cols = gram.cols;
  std::vector<float> product(kBlockColumns * kTileRows);
  double loss = 0;
  for (size_t begin = 0; begin < cols; begin += kBlockColumns) {
    const size_t count = std::min(kBlockColumns, cols - begin);
    const float* block = tile.data() + begin * kTileRows;
    const std::vector<float> square = DiagonalSquare(gram, begin, count);
    kernels::MatMul(count, kTileRows, count, square.data(), count, block, kTileRows, product.data(),
                    kTileRows);
    // What is above the square counts twice, for what is left of it.
    if (begin > 0) {
      kernels::MatMul(count, kTileRows, begin, gram.values.data() + begin, cols, tile.data(),
                      kTileRows, product.data(), kTileRows,
                      {.transpose_a = true, .alpha = 2, .beta = 1});
    }
    float sums[kTileRows] = {};
    for (size_t i = 0; i < count; ++i) {
      for (size_t row = 0; row < kTileRows; ++row) {
        sums[row] += product[i * kTileRows + row] * block[i * kTileRows + row];
      }
    }
    for (const float sum : sums) loss += static_cast<double>(sum);
  }
  return loss;
}

double GramLoss(const Matrix& difference, const Matrix& gram, ThreadPool& threads) {
  std::vector<double> losses(TileCount(difference.rows));
  threads.ParallelFor(losses.size(), [&](size_t tile) {
    losses[tile] = TileLoss(LoadTile(difference, tile), gram);
  });
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

}  // namespace quantized
