#include "kernels/q3_k/q3_k.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ3KRef(const float* x, const float* importance, size_t rows, size_t cols,
                  std::byte* out) {
  if (importance == nullptr) return EncodeBlocks<BlockQ3K, EncodeBlockQ3K>(x, rows, cols, out);
  EncodeWeighedBlocks<BlockQ3K, EncodeWeighedBlockQ3K>(x, importance, rows, cols, out);
}

void DecodeQ3K(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ3K, DecodeBlockQ3K>(in, count, out);
}

bool IsFiniteQ3K(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ3K, [](const BlockQ3K& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
