#include "kernels/q1_0/q1_0.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ1_0Ref(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                   std::byte* out) {
  EncodeBlocks<BlockQ1_0, EncodeBlockQ1_0>(x, rows, cols, out);
}

void DecodeQ1_0(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ1_0, DecodeBlockQ1_0>(in, count, out);
}

bool IsFiniteQ1_0(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ1_0, [](const BlockQ1_0& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
