#include "kernels/iq4_nl/iq4_nl.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeIQ4NLRef(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  if (importance == nullptr) {
    return EncodeBlocks<BlockIQ4NL, EncodeBlockIQ4NL>(x, rows, cols, out);
  }
  EncodeWeighedBlocks<BlockIQ4NL, EncodeWeighedBlockIQ4NL>(x, importance, rows, cols, out);
}

void DecodeIQ4NL(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockIQ4NL, DecodeBlockIQ4NL>(in, count, out);
}

bool IsFiniteIQ4NL(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockIQ4NL, [](const BlockIQ4NL& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
