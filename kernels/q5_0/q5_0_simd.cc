#include "kernels/q5_0/q5_0.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q5_0/q5_0_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/block32-inl.h"
#include "kernels/search/weighed_rows-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeQ5_0(const float* x, size_t blocks, std::byte* out) {
  EncodeBatches<BlockQ5_0, EncodeBlockQ5_0>(x, blocks, out, EncodeSymmetricBatch<BlockQ5_0>);
}

void EncodeWeighedQ5_0(const float* x, const float* importance, size_t rows, size_t cols,
                       std::byte* out) {
  EncodeWeighedSymmetricRows<BlockQ5_0, EncodeWeighedBlockQ5_0>(x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ5_0);
HWY_EXPORT(EncodeWeighedQ5_0);

void EncodeQ5_0Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  if (importance != nullptr) {
    return HWY_DYNAMIC_DISPATCH(EncodeWeighedQ5_0)(x, importance, rows, cols, out);
  }
  HWY_DYNAMIC_DISPATCH(EncodeQ5_0)(x, BlockCount<BlockQ5_0>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
