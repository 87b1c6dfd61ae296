#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/attention/attention.h"

namespace quantized::kernels {

// All in double precision, and rounded once.
void AttentionRef(const AttentionShape& shape, const float* q, size_t q_stride, const float* k,
                  const float* v, size_t kv_stride, float* out, size_t out_stride) {
  std::vector<double> scores, sums(shape.head_dim);
  for (size_t i = 0; i < shape.tokens; ++i) {
    for (size_t head = 0; head < shape.heads; ++head) {
      const size_t group = head / (shape.heads / shape.kv_heads);
      const float* query = q + i * q_stride + head * shape.head_dim;
      const size_t first = FirstVisibleKey(shape.window, i);
      scores.clear();
      for (size_t j = first; j <= i; ++j) {
        const float* key = k + j * kv_stride + group * shape.head_dim;
        double dot = 0;
        for (size_t c = 0; c < shape.head_dim; ++c) dot += static_cast<double>(query[c]) * key[c];
        const double score = dot * shape.scale;
        scores.push_back(shape.softcap == 0 ? score
                                            : shape.softcap * std::tanh(score / shape.softcap));
      }
      const double max = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      std::fill(sums.begin(), sums.end(), 0.0);
      for (size_t j = first; j <= i; ++j) {
        const double weight = std::exp(scores[j - first] - max);
        const float* value = v + j * kv_stride + group * shape.head_dim;
        sum += weight;
        for (size_t c = 0; c < shape.head_dim; ++c) sums[c] += weight * value[c];
      }
      float* result = out + i * out_stride + head * shape.head_dim;
      for (size_t c = 0; c < shape.head_dim; ++c) result[c] = static_cast<float>(sums[c] / sum);
    }
  }
}

}  // namespace quantized::kernels
