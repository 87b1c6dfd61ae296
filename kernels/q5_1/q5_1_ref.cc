#include "kernels/q5_1/q5_1.h"
#include "kernels/search/weighed_rows.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ5_1Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance == nullptr) return EncodeBlocks<BlockQ5_1, EncodeBlockQ5_1>(x, rows, cols, out);
  EncodeWeighedRows<BlockQ5_1, EncodeWeighedBlockQ5_1>(x, importance, rows, cols, out);
}

void DecodeQ5_1(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ5_1, DecodeBlockQ5_1>(in, count, out);
}

bool IsFiniteQ5_1(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ5_1, [](const BlockQ5_1& block) {
    return IsFiniteF16(block.d) && IsFiniteF16(block.m);
  }>(in, count);
}

}  // namespace quantized::kernels
