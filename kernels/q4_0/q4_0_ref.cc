#include "kernels/q4_0/q4_0.h"
#include "kernels/search/weighed_rows.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ4_0Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance == nullptr) return EncodeBlocks<BlockQ4_0, EncodeBlockQ4_0>(x, rows, cols, out);
  EncodeWeighedRows<BlockQ4_0, EncodeWeighedBlockQ4_0>(x, importance, rows, cols, out);
}

void DecodeQ4_0(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ4_0, DecodeBlockQ4_0>(in, count, out);
}

bool IsFiniteQ4_0(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ4_0, [](const BlockQ4_0& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
