#include "kernels/q5_0/q5_0.h"
#include "kernels/search/weighed_rows.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ5_0Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance == nullptr) return EncodeBlocks<BlockQ5_0, EncodeBlockQ5_0>(x, rows, cols, out);
  EncodeWeighedRows<BlockQ5_0, EncodeWeighedBlockQ5_0>(x, importance, rows, cols, out);
}

void DecodeQ5_0(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ5_0, DecodeBlockQ5_0>(in, count, out);
}

bool IsFiniteQ5_0(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ5_0, [](const BlockQ5_0& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
