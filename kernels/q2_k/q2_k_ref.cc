#include "kernels/q2_k/q2_k.h"
#include "kernels/search/affine_block.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ2KRef(const float* x, const float* importance, size_t rows, size_t cols,
                  std::byte* out) {
  if (importance == nullptr) return EncodeBlocks<BlockQ2K, EncodeAffineBlock<BlockQ2K>>(x, rows, cols, out);
  EncodeWeighedBlocks<BlockQ2K, EncodeWeighedAffineBlock<BlockQ2K>>(x, importance, rows, cols, out);
}

void DecodeQ2K(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ2K, DecodeBlockQ2K>(in, count, out);
}

bool IsFiniteQ2K(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ2K, [](const BlockQ2K& block) {
    return IsFiniteF16(block.d) && IsFiniteF16(block.dmin);
  }>(in, count);
}

}  // namespace quantized::kernels
