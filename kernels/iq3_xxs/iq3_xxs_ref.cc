#include "kernels/iq3_xxs/iq3_xxs.h"
#include "kernels/iq_grids/iq_grids.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {
namespace {

void EncodeOne(const float* x, const float* importance, BlockIQ3XXS& block) {
  EncodeBlockIQ3XXS(x, importance, IQ3XXSGrid(), block);
}

void DecodeOne(const BlockIQ3XXS& block, float* out) {
  DecodeBlockIQ3XXS(block, IQ3XXSGrid(), out);
}

}  // namespace

void EncodeIQ3XXSRef(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out) {
  EncodeWeighedBlocks<BlockIQ3XXS, EncodeOne>(x, importance, rows, cols, out);
}

void DecodeIQ3XXS(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockIQ3XXS, DecodeOne>(in, count, out);
}

bool IsFiniteIQ3XXS(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockIQ3XXS,
                         [](const BlockIQ3XXS& block) { return IsFiniteF16(block.d); }>(in, count);
}

}  // namespace quantized::kernels
