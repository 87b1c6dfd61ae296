#include "hwy/base.h"
#include "kernels/iq2_xxs/iq2_xxs.h"
#include "kernels/iq_grids/iq_grids.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {
namespace {

void EncodeOne(const float* x, const float* importance, BlockIQ2XXS& block) {
  EncodeBlockIQ2XXS(x, importance, IQ2XXSGrid(), block);
}

void DecodeOne(const BlockIQ2XXS& block, float* out) {
  DecodeBlockIQ2XXS(block, IQ2XXSGrid(), out);
}

}  // namespace

void EncodeIQ2XXSRef(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out) {
  HWY_ASSERT(importance != nullptr);
  EncodeWeighedBlocks<BlockIQ2XXS, EncodeOne>(x, importance, rows, cols, out);
}

void DecodeIQ2XXS(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockIQ2XXS, DecodeOne>(in, count, out);
}

bool IsFiniteIQ2XXS(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockIQ2XXS,
                         [](const BlockIQ2XXS& block) { return IsFiniteF16(block.d); }>(in, count);
}

}  // namespace quantized::kernels
