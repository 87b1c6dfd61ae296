#include "kernels/iq2_s/iq2_s.h"
#include "kernels/iq_grids/iq_grids.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {
namespace {

void EncodeOne(const float* x, const float* importance, BlockIQ2S& block) {
  EncodeBlockIQ2S(x, importance, IQ2SGrid(), block);
}

void DecodeOne(const BlockIQ2S& block, float* out) { DecodeBlockIQ2S(block, IQ2SGrid(), out); }

}  // namespace

void EncodeIQ2SRef(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  EncodeWeighedBlocks<BlockIQ2S, EncodeOne>(x, importance, rows, cols, out);
}

void DecodeIQ2S(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockIQ2S, DecodeOne>(in, count, out);
}

bool IsFiniteIQ2S(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockIQ2S, [](const BlockIQ2S& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
