#include "kernels/tq2_0/tq2_0.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeTQ2_0Ref(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                    std::byte* out) {
  EncodeBlocks<BlockTQ2_0, EncodeBlockTQ2_0>(x, rows, cols, out);
}

void DecodeTQ2_0(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockTQ2_0, DecodeBlockTQ2_0>(in, count, out);
}

bool IsFiniteTQ2_0(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockTQ2_0, [](const BlockTQ2_0& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
