// The plain encoders with importance of the types whose blocks of 32 values are weighed by the
// mean square of their whole row: Q4_0, Q4_1, Q5_0, Q5_1.
#pragma once

#include <cstddef>
#include <cstring>

#include "kernels/search/importance.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

// kEncode(const float* x, const float* weights, Block& block) for each block.
template <class Block, auto kEncode>
void EncodeWeighedRows(const float* x, const float* importance, size_t rows, size_t cols,
                       std::byte* out) {
  const size_t blocks = BlockCount<Block>(1, cols);
  for (size_t row = 0; row < rows; ++row, x += cols) {
    const float mean_square = SumOfSquares(x, cols) / static_cast<float>(cols);
    for (size_t b = 0; b < blocks; ++b, out += sizeof(Block)) {
      const size_t first = b * Block::kValues;
      float weights[Block::kValues];
      for (size_t i = 0; i < Block::kValues; ++i) {
        weights[i] = WeightOf(x[first + i], importance[first + i], mean_square);
      }
      Block block;
      kEncode(x + first, weights, block);
      std::memcpy(out, &block, sizeof(Block));
    }
  }
}

}  // namespace quantized::kernels
