#include "kernels/q6_k/q6_k.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ6KRef(const float* x, const float* importance, size_t rows, size_t cols,
                  std::byte* out) {
  if (importance == nullptr) return EncodeBlocks<BlockQ6K, EncodeBlockQ6K>(x, rows, cols, out);
  EncodeWeighedBlocks<BlockQ6K, EncodeWeighedBlockQ6K>(x, importance, rows, cols, out);
}

void DecodeQ6K(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ6K, DecodeBlockQ6K>(in, count, out);
}

bool IsFiniteQ6K(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ6K, [](const BlockQ6K& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
