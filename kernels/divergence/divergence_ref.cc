#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/divergence/divergence.h"
#include "kernels/lanes/slots.h"

namespace quantized::kernels {

RowDivergence DivergenceOfSums(double source_sum, double other_sum, double weighed,
                               double source_target, double other_target, bool same_top) {
  const double source_log = std::log(source_sum), other_log = std::log(other_sum);
  return {.source_loss = source_log - source_target,
          .loss = other_log - other_target,
          .kl = std::max(0.0, weighed / source_sum - source_log + other_log),
          .same_top = same_top};
}

RowDivergence NotFinite() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  return {nan, nan, nan, false};
}

void CompareLogitsRef(size_t rows, size_t vocabulary, const float* source, const float* other,
                      const uint32_t* targets, RowDivergence* out) {
  const auto is_finite = [](float value) { return std::isfinite(value); };
  for (size_t row = 0; row < rows; ++row, source += vocabulary, other += vocabulary) {
    if (!std::all_of(source, source + vocabulary, is_finite) ||
        !std::all_of(other, other + vocabulary, is_finite)) {
      out[row] = NotFinite();
      continue;
    }
    const float* source_top = std::max_element(source, source + vocabulary);
    const float* other_top = std::max_element(other, other + vocabulary);
    double source_sums[kSlots] = {}, other_sums[kSlots] = {}, weighed[kSlots] = {};
    for (size_t i = 0; i < vocabulary; ++i) {
      const double s = static_cast<double>(source[i]) - *source_top;
      const double o = static_cast<double>(other[i]) - *other_top;
      const double weight = std::exp(s);
      source_sums[i % kSlots] += weight;
      other_sums[i % kSlots] += std::exp(o);
      weighed[i % kSlots] += weight * (s - o);
    }
    out[row] = DivergenceOfSums(FoldSlots(source_sums), FoldSlots(other_sums), FoldSlots(weighed),
                                static_cast<double>(source[targets[row]]) - *source_top,
                                static_cast<double>(other[targets[row]]) - *other_top,
                                source_top - source == other_top - other);
  }
}

}  // namespace quantized::kernels
