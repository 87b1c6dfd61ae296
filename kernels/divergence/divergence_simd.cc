#include "kernels/divergence/divergence.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/divergence/divergence_simd.cc"

#include <cmath>
#include <cstring>
#include <limits>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/exp-inl.h"
#include "kernels/lanes/slots-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

using Floats = hn::CappedTag<float, 16>;
using Doubles = hn::CappedTag<double, 8>;
using DoubleSums = SlotSums<Doubles>;

struct Top {
  float logit;
  size_t index;    // the first of that size
  bool is_finite;  // the whole row; else the rest means nothing
};

Top TopOf(const float* logits, size_t count) {
  const Floats d;
  const size_t n = hn::Lanes(d);
  const auto most = hn::Set(d, std::numeric_limits<float>::max());
  auto largests = hn::Neg(most);
  auto is_finite = hn::Eq(most, most);
  size_t i = 0;
  for (; i + n <= count; i += n) {
    const auto v = hn::LoadU(d, logits + i);
    largests = hn::Max(largests, v);
    is_finite = hn::And(is_finite, hn::Le(hn::Abs(v), most));  // false for NaN
  }
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  hn::Store(largests, d, lanes);
  Top top = {-std::numeric_limits<float>::max(), 0, hn::AllTrue(d, is_finite)};
  for (const float lane : lanes) top.logit = lane > top.logit ? lane : top.logit;
  for (; i < count; ++i) {
    top.is_finite = top.is_finite && std::isfinite(logits[i]);
    top.logit = logits[i] > top.logit ? logits[i] : top.logit;
  }
  if (!top.is_finite) return top;
  const auto largest = hn::Set(d, top.logit);
  while (top.index + n <= count &&
         hn::AllFalse(d, hn::Eq(hn::LoadU(d, logits + top.index), largest))) {
    top.index += n;
  }
  while (logits[top.index] != top.logit) ++top.index;
  return top;
}

// Adds kSlots logits of each model.
HWY_INLINE void AddLogits(const float* source, double source_top, const float* other,
                          double other_top, DoubleSums& source_sums, DoubleSums& other_sums,
                          DoubleSums& weighed_sums) {
  const Doubles d;
  const hn::Rebind<float, Doubles> df;
  for (size_t v = 0; v < DoubleSums::kVectors; ++v) {
    const size_t at = v * DoubleSums::kWidth;
    const auto s = hn::Sub(hn::PromoteTo(d, hn::LoadU(df, source + at)), hn::Set(d, source_top));
    const auto o = hn::Sub(hn::PromoteTo(d, hn::LoadU(df, other + at)), hn::Set(d, other_top));
    const auto weight = ExpOfNegative(d, s);
    source_sums.Add(v, weight);
    other_sums.Add(v, ExpOfNegative(d, o));
    weighed_sums.Add(v, hn::Mul(weight, hn::Sub(s, o)));
  }
}

void CompareLogits(size_t rows, size_t vocabulary, const float* source, const float* other,
                   const uint32_t* targets, RowDivergence* out) {
  for (size_t row = 0; row < rows; ++row, source += vocabulary, other += vocabulary) {
    const Top source_top = TopOf(source, vocabulary), other_top = TopOf(other, vocabulary);
    if (!source_top.is_finite || !other_top.is_finite) {
      out[row] = NotFinite();
      continue;
    }
    DoubleSums source_sums, other_sums, weighed_sums;
    size_t i = 0;
    for (; i + kSlots <= vocabulary; i += kSlots) {
      AddLogits(source + i, source_top.logit, other + i, other_top.logit, source_sums, other_sums,
                weighed_sums);
    }
    double source_sum = source_sums.Fold(), other_sum = other_sums.Fold();
    double weighed = weighed_sums.Fold();
    for (; i < vocabulary; ++i) {
      const double s = static_cast<double>(source[i]) - source_top.logit;
      const double o = static_cast<double>(other[i]) - other_top.logit;
      const double weight = std::exp(s);
      source_sum += weight;
      other_sum += std::exp(o);
      weighed += weight * (s - o);
    }
    const size_t target = targets[row];
    out[row] = DivergenceOfSums(
        source_sum, other_sum, weighed, static_cast<double>(source[target]) - source_top.logit,
        static_cast<double>(other[target]) - other_top.logit, source_top.index == other_top.index);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(CompareLogits);

void CompareLogitsSimd(size_t rows, size_t vocabulary, const float* source, const float* other,
                       const uint32_t* targets, RowDivergence* out) {
  HWY_DYNAMIC_DISPATCH(CompareLogits)(rows, vocabulary, source, other, targets, out);
}

}  // namespace quantized::kernels
#endif
