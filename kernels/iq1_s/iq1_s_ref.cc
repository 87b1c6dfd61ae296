#include "kernels/iq1_s/iq1_s.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {
namespace {

void DecodeOne(const BlockIQ1S& block, float* out) { DecodeBlockIQ1S(IQ1Grid(), block, out); }

}  // namespace

void EncodeIQ1SRef(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  RequireImportance(importance);
  EncodeWeighedBlocks<BlockIQ1S, EncodeBlockIQ1SWithGrid>(x, importance, rows, cols, out);
}

void DecodeIQ1S(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockIQ1S, DecodeOne>(in, count, out);
}

bool IsFiniteIQ1S(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockIQ1S, [](const BlockIQ1S& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
