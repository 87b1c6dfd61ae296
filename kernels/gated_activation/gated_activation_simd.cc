#include "kernels/gated_activation/gated_activation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gated_activation/gated_activation_simd.cc"

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

template <class D, class V>
HWY_INLINE V GateOf(D d, V x, V z) {
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), ExpOfAny(d, z)));
}

struct Silu {
  template <class D, class V>
  HWY_INLINE V operator()(D d, V x) const {
    return GateOf(d, x, hn::Neg(x));
  }
};

struct GeluTanh {
  template <class D, class V>
  HWY_INLINE V operator()(D d, V x) const {
    const V cube = hn::Mul(hn::Mul(x, x), hn::Mul(x, hn::Set(d, 0.044715f)));
    return GateOf(d, x, hn::Mul(hn::Set(d, -1.5957691216057308f), hn::Add(x, cube)));
  }
};

template <class Activate>
HWY_INLINE void Gate(size_t count, const float* gate, const float* up, float* out) {
  const hn::ScalableTag<float> d;
  const size_t n = hn::Lanes(d);
  const auto step = [&](auto tag, size_t i) HWY_ATTR {
    const auto activated = Activate()(tag, hn::LoadU(tag, gate + i));
    hn::StoreU(hn::Mul(activated, hn::LoadU(tag, up + i)), tag, out + i);
  };
  size_t i = 0;
  for (; i + n <= count; i += n) step(d, i);
  for (; i < count; ++i) step(hn::CappedTag<float, 1>(), i);
}

void GateSilu(size_t count, const float* gate, const float* up, float* out) {
  Gate<Silu>(count, gate, up, out);
}
void GateGeluTanh(size_t count, const float* gate, const float* up, float* out) {
  Gate<GeluTanh>(count, gate, up, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(GateSilu);
HWY_EXPORT(GateGeluTanh);

void GatedActivationSimd(Activation activation, size_t count, const float* gate, const float* up,
                         float* out) {
  if (activation == Activation::kSilu) {
    HWY_DYNAMIC_DISPATCH(GateSilu)(count, gate, up, out);
  } else {
    HWY_DYNAMIC_DISPATCH(GateGeluTanh)(count, gate, up, out);
  }
}

}  // namespace quantized::kernels
#endif
