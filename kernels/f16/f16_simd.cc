#include "kernels/f16/f16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/f16/f16_simd.cc"
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void EncodeF16(const float* HWY_RESTRICT x, size_t count, std::byte* HWY_RESTRICT out) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    HWY_ALIGN uint16_t halves[kLanes];
    hn::Store(F32ToF16(hn::LoadU(Lanes(), x + i)), HalfLanes(), halves);
    std::memcpy(out + i * sizeof(uint16_t), halves, sizeof(halves));
  }
  EncodeF16Ref(x + i, nullptr, 1, count - i, out + i * sizeof(uint16_t));
}

void DecodeF16(const std::byte* HWY_RESTRICT in, size_t count, float* HWY_RESTRICT out) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    HWY_ALIGN uint16_t halves[kLanes];
    std::memcpy(halves, in + i * sizeof(uint16_t), sizeof(halves));
    hn::StoreU(F16ToF32(hn::Load(HalfLanes(), halves)), Lanes(), out + i);
  }
  DecodeF16Ref(in + i * sizeof(uint16_t), count - i, out + i);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeF16);
HWY_EXPORT(DecodeF16);

void EncodeF16Simd(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                   std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeF16)(x, rows * cols, out);
}

void DecodeF16Simd(const std::byte* in, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeF16)(in, count, out);
}

}  // namespace quantized::kernels
#endif
