#include "kernels/nvfp4/nvfp4.h"
#include "kernels/types/rows.h"

namespace quantized::kernels {

void EncodeNVFP4Ref(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                    std::byte* out) {
  EncodeBlocks<BlockNVFP4, EncodeBlockNVFP4>(x, rows, cols, out);
}

void DecodeNVFP4(const std::byte* in, size_t count, float* out) {
  DecodeBlocks<BlockNVFP4, DecodeBlockNVFP4>(in, count, out);
}

// No code of a scale stands for NaN or infinity.
bool IsFiniteNVFP4(const std::byte* /*in*/, size_t /*count*/) { return true; }

}  // namespace quantized::kernels
