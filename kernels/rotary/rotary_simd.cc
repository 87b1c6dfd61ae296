#include "kernels/rotary/rotary.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rotary/rotary_simd.cc"

#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Lane = pair. Mul, then Sub and Add: a fused product would round otherwise than the plain form.
void ApplyRotary(size_t tokens, size_t heads, size_t head_dim, size_t rotary_dim, const float* cos,
                 const float* sin, float* x, size_t stride) {
  const hn::ScalableTag<float> d;
  const size_t n = hn::Lanes(d), half = rotary_dim / 2;
  for (size_t token = 0; token < tokens; ++token, cos += half, sin += half) {
    for (size_t head = 0; head < heads; ++head) {
      float* first = x + token * stride + head * head_dim;
      float* second = first + half;
      const auto step = [&](auto tag, size_t i) HWY_ATTR {
        const auto x1 = hn::LoadU(tag, first + i), x2 = hn::LoadU(tag, second + i);
        const auto c = hn::LoadU(tag, cos + i), s = hn::LoadU(tag, sin + i);
        hn::StoreU(hn::Sub(hn::Mul(x1, c), hn::Mul(x2, s)), tag, first + i);
        hn::StoreU(hn::Add(hn::Mul(x2, c), hn::Mul(x1, s)), tag, second + i);
      };
      size_t i = 0;
      for (; i + n <= half; i += n) step(d, i);
      for (; i < half; ++i) step(hn::CappedTag<float, 1>(), i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(ApplyRotary);

void ApplyRotarySimd(size_t tokens, size_t heads, size_t head_dim, size_t rotary_dim,
                     const float* cos, const float* sin, float* x, size_t stride) {
  HWY_DYNAMIC_DISPATCH(ApplyRotary)(tokens, heads, head_dim, rotary_dim, cos, sin, x, stride);
}

}  // namespace quantized::kernels
#endif
