#include "kernels/attention/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_simd.cc"

#include <cstring>
#include <limits>
#include <memory>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/blas/blas.h"
#include "kernels/lanes/exp-inl.h"
#include "kernels/lanes/slots-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

using Floats = hn::CappedTag<float, 16>;
using FloatSums = SlotSums<Floats>;

// Caps the scores, if asked to, and finds the largest.
float CapScores(float* scores, size_t count, float softcap) {
  const Floats d;
  const size_t n = hn::Lanes(d);
  float largest = -std::numeric_limits<float>::infinity();
  auto largests = hn::Set(d, largest);
  size_t j = 0;
  if (softcap == 0) {
    for (; j + n <= count; j += n) largests = hn::Max(largests, hn::LoadU(d, scores + j));
  } else {
    const auto cap = [&](auto tag, size_t at) HWY_ATTR {
      const auto limit = hn::Set(tag, softcap);
      const auto capped =
          hn::Mul(limit, hn::Tanh(tag, hn::Div(hn::LoadU(tag, scores + at), limit)));
      hn::StoreU(capped, tag, scores + at);
      return capped;
    };
    for (; j + n <= count; j += n) largests = hn::Max(largests, cap(d, j));
    for (size_t rest = j; rest < count; ++rest) cap(hn::CappedTag<float, 1>(), rest);
  }
  HWY_ALIGN float lanes[FloatSums::kWidth];
  hn::Store(largests, d, lanes);
  for (const float lane : lanes) largest = lane > largest ? lane : largest;
  for (; j < count; ++j) largest = scores[j] > largest ? scores[j] : largest;
  return largest;
}

// Replaces kSlots scores by exp(score - largest) and adds them.
HWY_INLINE void ExpOfScores(float largest, float* scores, FloatSums& sums) {
  const Floats d;
  for (size_t vector = 0; vector < FloatSums::kVectors; ++vector) {
    float* at = scores + vector * FloatSums::kWidth;
    const auto exp = ExpOfNegative(d, hn::Sub(hn::LoadU(d, at), hn::Set(d, largest)));
    hn::StoreU(exp, d, at);
    sums.Add(vector, exp);
  }
}

// Replaces scores by weights that sum to the result's inverse.
float WeightsOfScores(float* scores, size_t count, float softcap) {
  const float largest = CapScores(scores, count, softcap);
  FloatSums sums;
  size_t j = 0;
  for (; j + kSlots <= count; j += kSlots) ExpOfScores(largest, scores + j, sums);
  if (j < count) {
    float rest[kSlots];
    for (float& score : rest) score = -std::numeric_limits<float>::infinity();
    std::memcpy(rest, scores + j, (count - j) * sizeof(float));
    ExpOfScores(largest, rest, sums);
    std::memcpy(scores + j, rest, (count - j) * sizeof(float));
  }
  return 1 / sums.Fold();
}

// scores: [heads, rows, keys], of the queries from `first` on with the keys from `first_key` on.
// Keys that a query does not see get the weight 0.
void WeightsOfBlock(const AttentionShape& shape, size_t heads, size_t first, size_t rows,
                    size_t first_key, size_t keys, float* scores, float* inverses) {
  for (size_t row = 0; row < heads * rows; ++row, scores += keys) {
    const size_t query = first + row % rows;
    const size_t begin = FirstVisibleKey(shape.window, query) - first_key;
    const size_t end = query + 1 - first_key;
    inverses[row] = WeightsOfScores(scores + begin, end - begin, shape.softcap);
    std::fill(scores, scores + begin, 0.0f);
    std::fill(scores + end, scores + keys, 0.0f);
  }
}

void ScaleRow(size_t count, const float* x, float factor, float* out) {
  const hn::ScalableTag<float> d;
  const size_t n = hn::Lanes(d);
  const auto step = [&](auto tag, size_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(tag, x + i), hn::Set(tag, factor)), tag, out + i);
  };
  size_t i = 0;
  for (; i + n <= count; i += n) step(d, i);
  for (; i < count; ++i) step(hn::CappedTag<float, 1>(), i);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(WeightsOfBlock);
HWY_EXPORT(ScaleRow);

namespace {

// The queries of all heads that read one head of keys are the rows of one product, which packs the
// keys once for all of them. Rows enough for OpenBLAS, and few enough for the scores to stay in the
// caches; a block's later queries' keys are computed for its earlier ones, too, so not more.
constexpr size_t kWantedRows = 192, kMostQueries = 64, kLeastQueries = 8;
constexpr size_t kMostScores = size_t{1} << 20;

struct Sizes {
  size_t queries, keys;  // of a block, at most
};

Sizes SizesOfBlock(const AttentionShape& shape, size_t heads) {
  const auto of = [&](size_t queries) {
    return Sizes{queries, shape.window == 0 ? shape.tokens
                                            : std::min(shape.tokens, shape.window - 1 + queries)};
  };
  Sizes sizes = of(kMostQueries);
  while (sizes.queries > kLeastQueries && (heads * sizes.queries > 2 * kWantedRows ||
                                           heads * sizes.queries * sizes.keys > kMostScores)) {
    sizes = of(sizes.queries / 2);
  }
  return sizes;
}

}  // namespace

size_t AttentionSimdBytes(const AttentionShape& shape) {
  const size_t heads = shape.heads / shape.kv_heads;
  const Sizes most = SizesOfBlock(shape, heads);
  return heads * most.queries * (most.keys + 2 * shape.head_dim + 1) * sizeof(float);
}

void AttentionSimd(const AttentionShape& shape, const float* q, size_t q_stride, const float* k,
                   const float* v, size_t kv_stride, float* out, size_t out_stride) {
  const size_t heads = shape.heads / shape.kv_heads, head_dim = shape.head_dim;
  const Sizes most = SizesOfBlock(shape, heads);
  const size_t most_rows = heads * most.queries;
  const auto memory =
      std::make_unique_for_overwrite<float[]>(AttentionSimdBytes(shape) / sizeof(float));
  float* scores = memory.get();                      // [rows, keys]
  float* queries = scores + most_rows * most.keys;   // [rows, head_dim]
  float* results = queries + most_rows * head_dim;   // [rows, head_dim]
  float* inverses = results + most_rows * head_dim;  // [rows]
  for (size_t group = 0; group < shape.kv_heads; ++group) {
    const size_t head_at = group * heads * head_dim;
    for (size_t first = 0; first < shape.tokens; first += most.queries) {
      const size_t count = std::min(most.queries, shape.tokens - first), rows = heads * count;
      const size_t first_key = FirstVisibleKey(shape.window, first);
      const size_t keys = first + count - first_key;
      const size_t key_at = first_key * kv_stride + group * head_dim;
      for (size_t row = 0; row < rows; ++row) {
        const float* query = q + (first + row % count) * q_stride + head_at;
        std::memcpy(queries + row * head_dim, query + row / count * head_dim,
                    head_dim * sizeof(float));
      }
      MatMul(rows, keys, head_dim, queries, head_dim, k + key_at, kv_stride, scores, keys,
             {.transpose_b = true, .alpha = shape.scale});
      HWY_DYNAMIC_DISPATCH(WeightsOfBlock)
      (shape, heads, first, count, first_key, keys, scores, inverses);
      MatMul(rows, head_dim, keys, scores, keys, v + key_at, kv_stride, results, head_dim);
      for (size_t row = 0; row < rows; ++row) {
        float* result = out + (first + row % count) * out_stride + head_at;
        HWY_DYNAMIC_DISPATCH(ScaleRow)
        (head_dim, results + row * head_dim, inverses[row], result + row / count * head_dim);
      }
    }
  }
}

}  // namespace quantized::kernels
#endif
