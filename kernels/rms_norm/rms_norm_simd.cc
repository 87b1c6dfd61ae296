#include "kernels/rms_norm/rms_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rms_norm/rms_norm_simd.cc"

#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/slots-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

using Doubles = hn::CappedTag<double, 8>;
using Sums = SlotSums<Doubles>;

// Adds the squares of kSlots values.
HWY_INLINE void AddSquares(const float* x, Sums& sums) {
  const Doubles d;
  for (size_t v = 0; v < Sums::kVectors; ++v) {
    const auto wide =
        hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, Doubles>(), x + v * Sums::kWidth));
    sums.Add(v, hn::Mul(wide, wide));
  }
}

double SumOfSquares(const float* x, size_t cols) {
  Sums sums;
  size_t c = 0;
  for (; c + kSlots <= cols; c += kSlots) AddSquares(x + c, sums);
  if (c < cols) {
    float rest[kSlots] = {};  // zeros leave their slots as they are
    std::memcpy(rest, x + c, (cols - c) * sizeof(float));
    AddSquares(rest, sums);
  }
  return sums.Fold();
}

void RmsNorm(size_t rows, size_t cols, const float* x, const float* weight, float epsilon,
             float* out) {
  const hn::ScalableTag<float> d;
  const size_t n = hn::Lanes(d);
  for (size_t row = 0; row < rows; ++row, x += cols, out += cols) {
    const float factor = RmsNormFactor(SumOfSquares(x, cols), cols, epsilon);
    const auto step = [&](auto tag, size_t c) HWY_ATTR {
      const auto scaled = hn::Mul(hn::LoadU(tag, x + c), hn::Set(tag, factor));
      hn::StoreU(hn::Mul(scaled, hn::LoadU(tag, weight + c)), tag, out + c);
    };
    size_t c = 0;
    for (; c + n <= cols; c += n) step(d, c);
    for (; c < cols; ++c) step(hn::CappedTag<float, 1>(), c);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(RmsNorm);

void RmsNormSimd(size_t rows, size_t cols, const float* x, const float* weight, float epsilon,
                 float* out) {
  HWY_DYNAMIC_DISPATCH(RmsNorm)(rows, cols, x, weight, epsilon, out);
}

}  // namespace quantized::kernels
#endif
