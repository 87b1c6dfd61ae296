#include "kernels/q2_k/q2_k.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q2_k/q2_k_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/search/affine_block-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeQ2K(const float* x, size_t blocks, std::byte* out) {
  EncodeAffineBlocks<BlockQ2K>(x, blocks, out);
}

void EncodeWeighedQ2K(const float* x, const float* importance, size_t rows, size_t cols,
                      std::byte* out) {
  EncodeWeighedAffineBlocks<BlockQ2K>(x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ2K);
HWY_EXPORT(EncodeWeighedQ2K);

void EncodeQ2KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance != nullptr) {
    return HWY_DYNAMIC_DISPATCH(EncodeWeighedQ2K)(x, importance, rows, cols, out);
  }
  HWY_DYNAMIC_DISPATCH(EncodeQ2K)(x, BlockCount<BlockQ2K>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
