#include "kernels/tq1_0/tq1_0.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeTQ1_0Ref(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                    std::byte* out) {
  EncodeBlocks<BlockTQ1_0, EncodeBlockTQ1_0>(x, rows, cols, out);
}

void DecodeTQ1_0(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockTQ1_0, DecodeBlockTQ1_0>(in, count, out);
}

bool IsFiniteTQ1_0(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockTQ1_0, [](const BlockTQ1_0& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
