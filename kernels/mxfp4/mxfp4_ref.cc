#include "kernels/mxfp4/mxfp4.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeMXFP4Ref(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                    std::byte* out) {
  EncodeBlocks<BlockMXFP4, EncodeBlockMXFP4>(x, rows, cols, out);
}

void DecodeMXFP4(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockMXFP4, DecodeBlockMXFP4>(in, count, out);
}

bool IsFiniteMXFP4(const std::byte* in, size_t count) {
  return AllBlocksFinite<BlockMXFP4, [](const BlockMXFP4& block) { return block.e != 255; }>(in,
                                                                                             count);
}

}  // namespace quantized::kernels
