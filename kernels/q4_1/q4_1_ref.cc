#include "kernels/q4_1/q4_1.h"
#include "kernels/search/weighed_rows.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ4_1Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance == nullptr) return EncodeBlocks<BlockQ4_1, EncodeBlockQ4_1>(x, rows, cols, out);
  EncodeWeighedRows<BlockQ4_1, EncodeWeighedBlockQ4_1>(x, importance, rows, cols, out);
}

void DecodeQ4_1(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ4_1, DecodeBlockQ4_1>(in, count, out);
}

bool IsFiniteQ4_1(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ4_1, [](const BlockQ4_1& block) {
    return IsFiniteF16(block.d) && IsFiniteF16(block.m);
  }>(in, count);
}

}  // namespace quantized::kernels
