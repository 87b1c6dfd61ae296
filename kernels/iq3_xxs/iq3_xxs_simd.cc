#include "kernels/iq3_xxs/iq3_xxs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq3_xxs/iq3_xxs_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/iq_grids/octal_block-inl.h"
#include "kernels/iq_grids/octal_lists.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeIQ3XXS(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance, size_t rows,
                  size_t cols, std::byte* HWY_RESTRICT out) {
  EncodeGridRows<BlockIQ3XXS>({IQ3XXSGrid(), IQ3XXSLists()}, x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeIQ3XXS);

void EncodeIQ3XXSSimd(const float* x, const float* importance, size_t rows, size_t cols,
                      std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeIQ3XXS)(x, importance, rows, cols, out);
}

}  // namespace quantized::kernels
#endif
