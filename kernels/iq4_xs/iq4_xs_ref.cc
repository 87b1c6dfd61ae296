#include "kernels/iq4_xs/iq4_xs.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeIQ4XSRef(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  if (importance == nullptr) {
    return EncodeBlocks<BlockIQ4XS, EncodeBlockIQ4XS>(x, rows, cols, out);
  }
  EncodeWeighedBlocks<BlockIQ4XS, EncodeWeighedBlockIQ4XS>(x, importance, rows, cols, out);
}

void DecodeIQ4XS(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockIQ4XS, DecodeBlockIQ4XS>(in, count, out);
}

bool IsFiniteIQ4XS(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockIQ4XS, [](const BlockIQ4XS& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
