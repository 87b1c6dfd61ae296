// Rows of blocks from functions of one block. A `Block` is the struct of one encoded block: byte
// for byte what a GGUF file holds, with `kValues` values. Blocks of the encoded data need no
// alignment: each is built on the stack and copied.
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>

#include "hwy/base.h"

namespace quantized::kernels {

static_assert(std::endian::native == std::endian::little, "blocks are little-endian");

// Called by every encoder that cannot do without.
inline void RequireImportance(const float* importance) { HWY_ASSERT(importance != nullptr); }

// Blocks in `rows` rows of `cols` values.
template <class Block>
size_t BlockCount(size_t rows, size_t cols) {
  HWY_ASSERT(cols % Block::kValues == 0);
  return rows * (cols / Block::kValues);
}

// kEncode(const float* x, Block& block) for each block of rows * cols values.
template <class Block, auto kEncode>
void EncodeBlocks(const float* x, size_t rows, size_t cols, std::byte* out) {
  const size_t blocks = BlockCount<Block>(rows, cols);
  for (size_t b = 0; b < blocks; ++b) {
    Block block;
    kEncode(x + b * Block::kValues, block);
    std::memcpy(out + b * sizeof(Block), &block, sizeof(Block));
  }
}

// The weights of block `b` of rows of `cols` values, which share the weights; null stays null.
template <class Block>
const float* ImportanceOfBlock(const float* importance, size_t cols, size_t b) {
  return importance == nullptr ? nullptr : importance + b * Block::kValues % cols;
}

// kEncode(const float* x, const float* importance, Block& block) for each block; `importance` has
// `cols` weights, which hold for each row, or is null.
template <class Block, auto kEncode>
void EncodeWeighedBlocks(const float* x, const float* importance, size_t rows, size_t cols,
                         std::byte* out) {
  const size_t blocks = BlockCount<Block>(rows, cols);
  for (size_t b = 0; b < blocks; ++b) {
    Block block;
    kEncode(x + b * Block::kValues, ImportanceOfBlock<Block>(importance, cols, b), block);
    std::memcpy(out + b * sizeof(Block), &block, sizeof(Block));
  }
}

// kDecode(const Block& block, float* out) for each block of `count` values.
template <class Block, auto kDecode>
void DecodeBlocks(const std::byte* in, size_t count, float* out) {
  HWY_ASSERT(count % Block::kValues == 0);
  for (size_t b = 0; b < count / Block::kValues; ++b) {
    Block block;
    std::memcpy(&block, in + b * sizeof(Block), sizeof(Block));
    kDecode(block, out + b * Block::kValues);
  }
}

// Whether kIsFinite(const Block& block) holds for each block of `count` values.
template <class Block, auto kIsFinite>
bool AllBlocksFinite(const std::byte* in, size_t count) {
  HWY_ASSERT(count % Block::kValues == 0);
  for (size_t b = 0; b < count / Block::kValues; ++b) {
    Block block;
    std::memcpy(&block, in + b * sizeof(Block), sizeof(Block));
    if (!kIsFinite(block)) return false;
  }
  return true;
}

}  // namespace quantized::kernels
