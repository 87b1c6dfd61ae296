#include "hwy/base.h"
#include "kernels/iq2_xs/iq2_xs.h"
#include "kernels/iq_grids/iq_grids.h"
#include "kernels/types/half.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {
namespace {

void EncodeOne(const float* x, const float* importance, BlockIQ2XS& block) {
  EncodeBlockIQ2XS(x, importance, IQ2XSGrid(), block);
}

void DecodeOne(const BlockIQ2XS& block, float* out) { DecodeBlockIQ2XS(block, IQ2XSGrid(), out); }

}  // namespace

void EncodeIQ2XSRef(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  HWY_ASSERT(importance != nullptr);
  EncodeWeighedBlocks<BlockIQ2XS, EncodeOne>(x, importance, rows, cols, out);
}

void DecodeIQ2XS(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockIQ2XS, DecodeOne>(in, count, out);
}

bool IsFiniteIQ2XS(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockIQ2XS, [](const BlockIQ2XS& block) { return IsFiniteF16(block.d); }>(
      in, count);
}

}  // namespace quantized::kernels
