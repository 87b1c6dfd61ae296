#include "kernels/q5_k/q5_k.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q5_k/q5_k_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/search/affine_block-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeQ5K(const float* x, size_t blocks, std::byte* out) {
  EncodeAffineBlocks<BlockQ5K>(x, blocks, out);
}

void EncodeWeighedQ5K(const float* x, const float* importance, size_t rows, size_t cols,
                      std::byte* out) {
  EncodeWeighedAffineBlocks<BlockQ5K>(x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ5K);
HWY_EXPORT(EncodeWeighedQ5K);

void EncodeQ5KSimd(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out) {
  if (importance != nullptr) {
    return HWY_DYNAMIC_DISPATCH(EncodeWeighedQ5K)(x, importance, rows, cols, out);
  }
  HWY_DYNAMIC_DISPATCH(EncodeQ5K)(x, BlockCount<BlockQ5K>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
