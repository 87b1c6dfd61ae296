#include "core/forward/input_statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include "kernels/blas/blas.h"

namespace quantized {
namespace {

constexpr size_t kTile = 256;    // rows and columns of a piece of the Gram matrix
constexpr size_t kColumns = 64;  // of a piece of the column sums

size_t Tiles(size_t width) { return (width + kTile - 1) / kTile; }

// Tile number → block row and block column of the upper triangle, row by row.
std::pair<size_t, size_t> BlockOf(size_t tile, size_t tiles) {
  size_t row = 0;
  while (tile >= tiles - row) tile -= tiles - row++;
  return {row, row + tile};
}

}  // namespace

InputStatistics MeansOf(InputStatistics sums) {
  const double scale = sums.tokens == 0 ? 0 : 1 / static_cast<double>(sums.tokens);
  for (double& square : sums.squares) square *= scale;
  for (double& magnitude : sums.magnitudes) magnitude *= scale;
  for (size_t row = 0; row < sums.gram.rows; ++row) {
    for (size_t col = row; col < sums.gram.cols; ++col) {
      const auto mean = static_cast<float>(sums.gram.at(row, col) * scale);
      sums.gram.at(row, col) = mean;
      sums.gram.at(col, row) = mean;
    }
  }
  return sums;
}

InputAccumulator::InputAccumulator(StatisticsKind kind, size_t width) : kind_(kind), width_(width) {
  if (kind == StatisticsKind::kNone) return;
  sums_.squares.resize(width);
  if (kind != StatisticsKind::kGram) return;
  sums_.gram = Matrix(width, width);
  sums_.magnitudes.resize(width);
}

void InputAccumulator::Add(std::span<const Chunk> all_chunks, ThreadPool& threads) {
  if (kind_ == StatisticsKind::kNone) return;
  // Those without rows may have no memory, either.
  std::vector<Chunk> chunks;
  std::ranges::copy_if(all_chunks, std::back_inserter(chunks),
                       [](const Chunk& chunk) { return chunk.count > 0; });
  for (const Chunk& chunk : chunks) sums_.tokens += chunk.count;
  const size_t tiles = Tiles(width_);
  const size_t gram_tiles = kind_ == StatisticsKind::kGram ? tiles * (tiles + 1) / 2 : 0;
  const size_t column_tiles = (width_ + kColumns - 1) / kColumns;
  threads.ParallelFor(gram_tiles + column_tiles, [&](size_t i) {
    if (i < gram_tiles) {
      AddGramTile(chunks, i);
    } else {
      AddColumns(chunks, (i - gram_tiles) * kColumns);
    }
  });
}

void InputAccumulator::AddGramTile(std::span<const Chunk> chunks, size_t tile) {
  const auto [block_row, block_col] = BlockOf(tile, Tiles(width_));
  const size_t row = block_row * kTile, col = block_col * kTile;
  const size_t rows = std::min(kTile, width_ - row), cols = std::min(kTile, width_ - col);
  float* out = sums_.gram.row(row) + col;
  for (const Chunk& chunk : chunks) {
    if (row == col) {
      kernels::AddGram(chunk.count, rows, chunk.rows + row, width_, out, width_);
    } else {
      kernels::MatMul(rows, cols, chunk.count, chunk.rows + row, width_, chunk.rows + col, width_,
                      out, width_, {.transpose_a = true, .beta = 1});
    }
  }
}

void InputAccumulator::AddColumns(std::span<const Chunk> chunks, size_t first) {
  const size_t columns = std::min(kColumns, width_ - first);
  for (const Chunk& chunk : chunks) {
    std::array<float, kColumns> squares{}, magnitudes{};
    for (size_t row = 0; row < chunk.count; ++row) {
      const float* x = chunk.rows + row * width_ + first;
      for (size_t c = 0; c < columns; ++c) {
        squares[c] += x[c] * x[c];
        magnitudes[c] += std::fabs(x[c]);
      }
    }
    for (size_t c = 0; c < columns; ++c) {
      sums_.squares[first + c] += squares[c];
      if (kind_ == StatisticsKind::kGram) sums_.magnitudes[first + c] += magnitudes[c];
    }
  }
}

}  // namespace quantized
