#include "kernels/q2_0/q2_0.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ2_0Ref(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                   std::byte* out) {
  EncodeBlocks<BlockQ2_0, EncodeBlockQ2_0>(x, rows, cols, out);
}

void DecodeQ2_0(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ2_0, DecodeBlockQ2_0>(in, count, out);
}

bool IsFiniteQ2_0(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ2_0, [](const BlockQ2_0& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
