#include "kernels/iq3_s/iq3_s.h"
#include "kernels/iq_grids/iq_grids.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {
namespace {

void EncodeOne(const float* x, const float* importance, BlockIQ3S& block) {
  EncodeBlockIQ3S(x, importance, IQ3SGrid(), block);
}

void DecodeOne(const BlockIQ3S& block, float* out) { DecodeBlockIQ3S(block, IQ3SGrid(), out); }

}  // namespace

void EncodeIQ3SRef(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  EncodeWeighedBlocks<BlockIQ3S, EncodeOne>(x, importance, rows, cols, out);
}

void DecodeIQ3S(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockIQ3S, DecodeOne>(in, count, out);
}

bool IsFiniteIQ3S(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockIQ3S, [](const BlockIQ3S& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
