#include "kernels/q5_1/q5_1.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/q5_1/q5_1_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/block32-inl.h"
#include "kernels/search/weighed_rows-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeQ5_1(const float* x, size_t blocks, std::byte* out) {
  EncodeBatches<BlockQ5_1, EncodeBlockQ5_1>(x, blocks, out, EncodeAffineBatch<BlockQ5_1>);
}

void EncodeWeighedQ5_1(const float* x, const float* importance, size_t rows, size_t cols,
                       std::byte* out) {
  EncodeWeighedAffineRows<BlockQ5_1, EncodeWeighedBlockQ5_1>(x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeQ5_1);
HWY_EXPORT(EncodeWeighedQ5_1);

void EncodeQ5_1Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  if (importance != nullptr) {
    return HWY_DYNAMIC_DISPATCH(EncodeWeighedQ5_1)(x, importance, rows, cols, out);
  }
  HWY_DYNAMIC_DISPATCH(EncodeQ5_1)(x, BlockCount<BlockQ5_1>(rows, cols), out);
}

}  // namespace quantized::kernels
#endif
