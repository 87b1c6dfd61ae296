#include "kernels/q4_k/q4_k.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q4_k/q4_k_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/search/affine_block-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeQ4K(const float* x, size_t blocks, std::byte* out) {
  EncodeAffineBlocks<BlockQ4K>(x, blocks, out);
}

void EncodeWeighedQ4K(const float* x, const float* importance, size_t rows, size_t cols,
                      std::byte* out) {
  EncodeWeighedAffineBlocks<BlockQ4K>(x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ4K);
HWY_EXPORT(EncodeWeighedQ4K);

void EncodeQ4KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance != nullptr) {
    return HWY_DYNAMIC_DISPATCH(EncodeWeighedQ4K)(x, importance, rows, cols, out);
  }
  HWY_DYNAMIC_DISPATCH(EncodeQ4K)(x, BlockCount<BlockQ4K>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
