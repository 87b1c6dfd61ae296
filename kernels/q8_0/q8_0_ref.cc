#include "kernels/q8_0/q8_0.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeQ8_0Ref(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                   std::byte* out) {
  EncodeBlocks<BlockQ8_0, EncodeBlockQ8_0>(x, rows, cols, out);
}

void DecodeQ8_0(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockQ8_0, DecodeBlockQ8_0>(in, count, out);
}

bool IsFiniteQ8_0(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockQ8_0, [](const BlockQ8_0& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
