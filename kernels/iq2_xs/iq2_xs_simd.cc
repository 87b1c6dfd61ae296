#include "kernels/iq2_xs/iq2_xs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq2_xs/iq2_xs_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/iq_grids/grid_block-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeIQ2XS(const LaneLists& lists, const float* x, const float* importance, size_t rows,
                 size_t cols, std::byte* out) {
  EncodeGridBlocks<BlockIQ2XS>(IQ2XSGrid(), lists, x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeIQ2XS);

void EncodeIQ2XSSimd(const float* x, const float* importance, size_t rows, size_t cols,
                     std::byte* out) {
  RequireImportance(importance);
  static const LaneLists lists = LaneLists::Of(IQ2XSGrid(), TernaryCube());
  HWY_DYNAMIC_DISPATCH(EncodeIQ2XS)(lists, x, importance, rows, cols, out);
}

}  // namespace quantized::kernels
#endif
