#include "kernels/q4_1/q4_1.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q4_1/q4_1_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/block32-inl.h"
#include "kernels/search/weighed_rows-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeQ4_1(const float* x, size_t blocks, std::byte* out) {
  EncodeBatches<BlockQ4_1, EncodeBlockQ4_1>(x, blocks, out, EncodeAffineBatch<BlockQ4_1>);
}

void EncodeWeighedQ4_1(const float* x, const float* importance, size_t rows, size_t cols,
                       std::byte* out) {
  EncodeWeighedAffineRows<BlockQ4_1, EncodeWeighedBlockQ4_1>(x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ4_1);
HWY_EXPORT(EncodeWeighedQ4_1);

void EncodeQ4_1Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  if (importance != nullptr) {
    return HWY_DYNAMIC_DISPATCH(EncodeWeighedQ4_1)(x, importance, rows, cols, out);
  }
  HWY_DYNAMIC_DISPATCH(EncodeQ4_1)(x, BlockCount<BlockQ4_1>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
