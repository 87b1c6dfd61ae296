#include "kernels/iq1_m/iq1_m.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {
namespace {

void EncodeOne(const float* x, BlockIQ1M& block) { EncodeBlockIQ1M(IQ1Grid(), x, block); }

void DecodeOne(const BlockIQ1M& block, float* out) { DecodeBlockIQ1M(IQ1Grid(), block, out); }

}  // namespace

void EncodeIQ1MRef(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance == nullptr) return EncodeBlocks<BlockIQ1M, EncodeOne>(x, rows, cols, out);
  EncodeWeighedBlocks<BlockIQ1M, EncodeWeighedBlockIQ1MWithGrid>(x, importance, rows, cols, out);
}

void DecodeIQ1M(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockIQ1M, DecodeOne>(in, count, out);
}

bool IsFiniteIQ1M(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockIQ1M, [](const BlockIQ1M& block) {
    return IsFiniteF16(FactorOf(block));
  }>(in, count);
}

}  // namespace quantized::kernels
