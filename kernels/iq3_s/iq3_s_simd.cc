#include "kernels/iq3_s/iq3_s.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq3_s/iq3_s_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/iq_grids/grid_block-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeIQ3S(const LaneLists& lists, const float* x, const float* importance, size_t rows,
                size_t cols, std::byte* out) {
  EncodeGridBlocks<BlockIQ3S>(IQ3SGrid(), lists, x, importance, rows, cols, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeIQ3S);

void EncodeIQ3SSimd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  static const LaneLists lists = LaneLists::Of(IQ3SGrid(), OctalCube());
  HWY_DYNAMIC_DISPATCH(EncodeIQ3S)(lists, x, importance, rows, cols, out);
}

}  // namespace quantized::kernels
#endif
