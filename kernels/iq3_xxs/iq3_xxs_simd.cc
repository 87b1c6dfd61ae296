#include "kernels/iq3_xxs/iq3_xxs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq3_xxs/iq3_xxs_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/iq_grids/grid_block-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeIQ3XXS(const LaneLists& lists, const float* x, const float* importance, size_t rows,
                  size_t cols, std::byte* out) {
  EncodeGridBlocks<BlockIQ3XXS>(IQ3XXSGrid(), lists, x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeIQ3XXS);

void EncodeIQ3XXSSimd(const float* x, const float* importance, size_t rows, size_t cols,
                      std::byte* out) {
  static const LaneLists lists = LaneLists::Of(IQ3XXSGrid(), OctalCube());
  HWY_DYNAMIC_DISPATCH(EncodeIQ3XXS)(lists, x, importance, rows, cols, out);
}

}  // namespace quantized::kernels
#endif
