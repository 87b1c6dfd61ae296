// What calibration learns of the inputs of linears: sums over tokens, in an order that depends
// neither on the number of threads nor on how the tokens come in pieces of batches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/tensor/matrix.h"

namespace quantized {

enum class StatisticsKind {
  kNone,
  kSquares,  // squares
  kGram,     // gram, squares, magnitudes
};

struct InputStatistics {
  uint64_t tokens = 0;
  Matrix gram;                     // [width, width]: mean of x·xᵀ, both triangles
  std::vector<double> squares;     // [width]: mean of x²
  std::vector<double> magnitudes;  // [width]: mean of |x|
};

// Divides sums, of which the Gram matrix has the upper triangle, by the tokens. Without tokens all
// is 0.
InputStatistics MeansOf(InputStatistics sums);

class InputAccumulator {
 public:
  struct Chunk {
    const float* rows;  // [count, width]
    size_t count;
  };

  InputAccumulator(StatisticsKind kind, size_t width);

  // Adds the tokens of `all_chunks`, in this order. Each chunk is summed in f32, by OpenBLAS for
  // the Gram matrix; chunks are added to each other in f32 (gram) or double.
  void Add(std::span<const Chunk> all_chunks, ThreadPool& threads);

  // The means; may be started anew by assignment.
  InputStatistics Finish() && { return MeansOf(std::move(sums_)); }

 private:
  void AddGramTile(std::span<const Chunk> chunks, size_t tile);
  void AddColumns(std::span<const Chunk> chunks, size_t first);

  StatisticsKind kind_;
  size_t width_;
  InputStatistics sums_;
};

}  // namespace quantized
