#include "kernels/q5_k/q5_k.h"
#include "kernels/search/affine_block.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ5KRef(const float* x, const float* importance, size_t rows, size_t cols,
                  std::byte* out) {
  if (importance == nullptr) return EncodeBlocks<BlockQ5K, EncodeAffineBlock<BlockQ5K>>(x, rows, cols, out);
  EncodeWeighedBlocks<BlockQ5K, EncodeWeighedAffineBlock<BlockQ5K>>(x, importance, rows, cols, out);
}

void DecodeQ5K(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ5K, DecodeBlockQ5K>(in, count, out);
}

bool IsFiniteQ5K(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ5K, [](const BlockQ5K& block) {
    return IsFiniteF16(block.scales.d) && IsFiniteF16(block.scales.dmin);
  }>(in, count);
}

}  // namespace quantized::kernels
