#include "kernels/q4_0/q4_0.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q4_0/q4_0_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/block32-inl.h"
#include "kernels/search/weighed_rows-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeQ4_0(const float* x, size_t blocks, std::byte* out) {
  EncodeBatches<BlockQ4_0, EncodeBlockQ4_0>(x, blocks, out, EncodeSymmetricBatch<BlockQ4_0>);
}

void EncodeWeighedQ4_0(const float* x, const float* importance, size_t rows, size_t cols,
                       std::byte* out) {
  EncodeWeighedSymmetricRows<BlockQ4_0, EncodeWeighedBlockQ4_0>(x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ4_0);
HWY_EXPORT(EncodeWeighedQ4_0);

void EncodeQ4_0Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  if (importance != nullptr) {
    return HWY_DYNAMIC_DISPATCH(EncodeWeighedQ4_0)(x, importance, rows, cols, out);
  }
  HWY_DYNAMIC_DISPATCH(EncodeQ4_0)(x, BlockCount<BlockQ4_0>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
