// The search for one factor of a few scales (kernels/search/unsigned.h) with one block per lane.
// Scales may be anything, infinity and NaN included, so all rounding wraps.

#if defined(QUANTIZED_KERNELS_SEARCH_UNSIGNED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_SEARCH_UNSIGNED_INL_H_
#undef QUANTIZED_KERNELS_SEARCH_UNSIGNED_INL_H_
#else
#define QUANTIZED_KERNELS_SEARCH_UNSIGNED_INL_H_
#endif

#include "kernels/lanes/lanes-inl.h"
#include "kernels/search/unsigned.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// What a code becomes in its byte.
HWY_INLINE IntVec InByte(IntVec code) { return hn::And(code, hn::Set(IntLanes(), 0xFF)); }

template <int kMaxCode>
HWY_INLINE IntVec UnsignedCode(FloatVec v) {
  return hn::Min(NearestWrapped(v), hn::Set(IntLanes(), kMaxCode));
}

// `x` and `weights`: value i of lane b at i * kLanes + b.
template <size_t kValues, int kMaxCode>
HWY_INLINE FloatVec BestUnsignedInverse(const float* HWY_RESTRICT x,
                                        const float* HWY_RESTRICT weights, FloatVec max) {
  const Lanes d;
  const auto error_of = [&](FloatVec inverse, const auto& code_of) HWY_ATTR {
    const FloatVec factor = hn::Div(SetAll(1.0f), inverse);
    FloatVec error = hn::Zero(d);
    for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
      const FloatVec xi = hn::Load(d, x + i);
      const FloatVec l = hn::ConvertTo(d, code_of(hn::Mul(inverse, xi)));
      const FloatVec difference = hn::Sub(xi, hn::Mul(factor, l));
      const FloatVec weighed = hn::Mul(hn::Load(d, weights + i), difference);
      error = hn::Add(error, hn::Mul(weighed, difference));
    }
    return error;
  };
  const auto unlimited = [](FloatVec v) HWY_ATTR { return InByte(NearestWrapped(v)); };
  const auto limited = [](FloatVec v) HWY_ATTR { return UnsignedCode<kMaxCode>(v); };
  FloatVec best_inverse = hn::Div(SetAll(kMaxCode), max);
  FloatVec best = error_of(best_inverse, unlimited);
  for (int k = -4; k <= 4; ++k) {
    if (k == 0) continue;
    const float numerator = 0.1f * static_cast<float>(k) + static_cast<float>(kMaxCode);
    const FloatVec inverse = hn::Div(SetAll(numerator), max);
    const FloatVec error = error_of(inverse, limited);
    const LaneMask better = hn::Lt(error, best);
    best = hn::IfThenElse(better, error, best);
    best_inverse = hn::IfThenElse(better, inverse, best_inverse);
  }
  return best_inverse;
}

// One sweep over the values with codes `level`. Returns whether a lane changed.
template <size_t kValues, int kMaxCode>
HWY_INLINE bool SweepUnsigned(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights,
                              int32_t* HWY_RESTRICT level, FloatVec& a, FloatVec& b) {
  const Lanes d;
  const IntLanes di;
  const FloatVec zero = hn::Zero(d);
  bool changed = false;
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i), w = hn::Load(d, weights + i);
    const FloatVec wx = hn::Mul(w, xi);
    const IntVec old_code = hn::Load(di, level + i);
    const FloatVec old_l = hn::ConvertTo(d, old_code);
    const FloatVec a_without = hn::Sub(a, hn::Mul(wx, old_l));
    const FloatVec b_without = hn::Sub(b, hn::Mul(hn::Mul(w, old_l), old_l));
    const IntVec code = UnsignedCode<kMaxCode>(hn::Div(hn::Mul(xi, b_without), a_without));
    const FloatVec l = hn::ConvertTo(d, code);
    const FloatVec new_a = hn::Add(a_without, hn::Mul(wx, l));
    const FloatVec new_b = hn::Add(b_without, hn::Mul(hn::Mul(w, l), l));
    const LaneMask tried = hn::And(hn::And(hn::Gt(a_without, zero), hn::Gt(b_without, zero)),
                                   hn::RebindMask(d, hn::Ne(code, old_code)));
    const LaneMask better =
        hn::Gt(hn::Mul(hn::Mul(new_a, new_a), b), hn::Mul(hn::Mul(a, a), new_b));
    const LaneMask accept = hn::And(tried, better);
    hn::Store(hn::IfThenElse(hn::RebindMask(di, accept), InByte(code), old_code), di, level + i);
    a = hn::IfThenElse(accept, new_a, a);
    b = hn::IfThenElse(accept, new_b, b);
    changed = changed || !hn::AllFalse(d, accept);
  }
  return changed;
}

// Returns the factors; codes[i * kLanes + b] is the code of value i of lane b.
template <size_t kValues, int kMaxCode>
FloatVec SearchUnsigned(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights,
                        uint8_t* HWY_RESTRICT codes) {
  const Lanes d;
  const IntLanes di;
  FloatVec max = hn::Zero(d);
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i);
    max = hn::IfThenElse(hn::Gt(max, xi), max, xi);
  }
  const LaneMask active = hn::Not(hn::Lt(max, SetAll(kSmallestMagnitude)));
  const FloatVec inverse = BestUnsignedInverse<kValues, kMaxCode>(x, weights, max);
  FloatVec a = hn::Zero(d), b = hn::Zero(d);
  HWY_ALIGN int32_t level[kValues * kLanes];
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i), w = hn::Load(d, weights + i);
    const IntVec code = UnsignedCode<kMaxCode>(hn::Mul(inverse, xi));
    const FloatVec l = hn::ConvertTo(d, code);
    a = hn::Add(a, hn::Mul(hn::Mul(w, xi), l));
    b = hn::Add(b, hn::Mul(hn::Mul(w, l), l));
    hn::Store(InByte(code), di, level + i);
  }
  for (int sweep = 0; sweep < 5; ++sweep) {
    if (!SweepUnsigned<kValues, kMaxCode>(x, weights, level, a, b)) break;
  }
  const IntVec zero = hn::Zero(di);
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const IntVec code = hn::Load(di, level + i);
    StoreBytes(hn::IfThenElse(hn::RebindMask(di, active), code, zero), codes + i);
  }
  const LaneMask solved = hn::And(active, hn::Gt(b, hn::Zero(d)));
  return hn::IfThenElseZero(solved, hn::Div(a, b));
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_UNSIGNED_INL_H_
