#include "kernels/q4_k/q4_k.h"
#include "kernels/search/affine_block.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ4KRef(const float* x, const float* importance, size_t rows, size_t cols,
                  std::byte* out) {
  if (importance == nullptr) return EncodeBlocks<BlockQ4K, EncodeAffineBlock<BlockQ4K>>(x, rows, cols, out);
  EncodeWeighedBlocks<BlockQ4K, EncodeWeighedAffineBlock<BlockQ4K>>(x, importance, rows, cols, out);
}

void DecodeQ4K(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ4K, DecodeBlockQ4K>(in, count, out);
}

bool IsFiniteQ4K(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ4K, [](const BlockQ4K& block) {
    return IsFiniteF16(block.scales.d) && IsFiniteF16(block.scales.dmin);
  }>(in, count);
}

}  // namespace quantized::kernels
