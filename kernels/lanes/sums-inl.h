// Sums over runs of values, one run per lane: in the order of the values, as the plain forms add.

#if defined(QUANTIZED_KERNELS_LANES_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_LANES_SUMS_INL_H_
#undef QUANTIZED_KERNELS_LANES_SUMS_INL_H_
#else
#define QUANTIZED_KERNELS_LANES_SUMS_INL_H_
#endif

#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Lane j: the sum of term(v) over the kValues values v of run j, which is at x + j * kValues.
template <size_t kValues, class Term>
HWY_INLINE FloatVec SumsOfRuns(const float* HWY_RESTRICT x, const Term& term) {
  static_assert(kValues % kLanes == 0);
  FloatVec sum = hn::Zero(Lanes());
  for (size_t begin = 0; begin < kValues; begin += kLanes) {
    FloatVec v[kLanes];
    for (size_t run = 0; run < kLanes; ++run) {
      v[run] = hn::LoadU(Lanes(), x + run * kValues + begin);
    }
    Transpose(v);
    for (size_t i = 0; i < kLanes; ++i) sum = hn::Add(sum, term(v[i]));
  }
  return sum;
}

struct MagnitudeTerm {
  HWY_INLINE FloatVec operator()(FloatVec v) const { return hn::Abs(v); }
};
struct SquareTerm {
  HWY_INLINE FloatVec operator()(FloatVec v) const { return hn::Mul(v, v); }
};

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_LANES_SUMS_INL_H_
