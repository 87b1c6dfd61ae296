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

// scores: [rows, keys], of the queries from `first` on with the keys from `first_key` on. Keys that
// a query does not see get the weight 0.
void WeightsOfBlock(const AttentionShape& shape, size_t first, size_t rows, size_t first_key,
                    size_t keys, float* scores, float* inverses) {
  for (size_t row = 0; row < rows; ++row, scores += keys) {
    const size_t query = first + row;
    const size_t begin = FirstVisibleKey(shape.window, query) - first_key;
    const size_t end = query + 1 - first_key;
    inverses[row] = WeightsOfScores(scores + begin, end - begin, shape.softcap);
    std::fill(scores, scores + begin, 0.0f);
    std::fill(scores + end, scores + keys, 0.0f);
  }
}

void ScaleRows(size_t rows, size_t cols, const float* factors, float* out, size_t stride) {
  const hn::ScalableTag<float> d;
  const size_t n = hn::Lanes(d);
  for (size_t row = 0; row < rows; ++row, out += stride) {
    const auto step = [&](auto tag, size_t c) HWY_ATTR {
      hn::StoreU(hn::Mul(hn::LoadU(tag, out + c), hn::Set(tag, factors[row])), tag, out + c);
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

HWY_EXPORT(WeightsOfBlock);
HWY_EXPORT(ScaleRows);

namespace {

// Scores of a block that one of the level-2 caches holds for sequences of some thousand tokens, and
// matrices large enough for OpenBLAS.
constexpr size_t kMostRows = 64, kLeastRows = 8;
constexpr size_t kMostScores = size_t{1} << 20;

size_t KeysOfBlock(const AttentionShape& shape, size_t rows) {
  return shape.window == 0 ? shape.tokens : std::min(shape.tokens, shape.window - 1 + rows);
}

size_t RowsOfBlock(const AttentionShape& shape) {
  size_t rows = kMostRows;
  while (rows > kLeastRows && rows * KeysOfBlock(shape, rows) > kMostScores) rows /= 2;
  return rows;
}

}  // namespace

void AttentionSimd(const AttentionShape& shape, const float* q, size_t q_stride, const float* k,
                   const float* v, size_t kv_stride, float* out, size_t out_stride) {
  const size_t most_rows = RowsOfBlock(shape), head_dim = shape.head_dim;
  const auto scores =
      std::make_unique_for_overwrite<float[]>(most_rows * KeysOfBlock(shape, most_rows));
  float inverses[kMostRows];
  for (size_t head = 0; head < shape.heads; ++head) {
    const size_t group = head / (shape.heads / shape.kv_heads);
    for (size_t first = 0; first < shape.tokens; first += most_rows) {
      const size_t rows = std::min(most_rows, shape.tokens - first);
      const size_t first_key = FirstVisibleKey(shape.window, first);
      const size_t keys = first + rows - first_key;
      const size_t key_at = first_key * kv_stride + group * head_dim;
      MatMul(rows, keys, head_dim, q + first * q_stride + head * head_dim, q_stride, k + key_at,
             kv_stride, scores.get(), keys, {.transpose_b = true, .alpha = shape.scale});
      HWY_DYNAMIC_DISPATCH(WeightsOfBlock)
      (shape, first, rows, first_key, keys, scores.get(), inverses);
      float* result = out + first * out_stride + head * head_dim;
      MatMul(rows, head_dim, keys, scores.get(), keys, v + key_at, kv_stride, result, out_stride);
      HWY_DYNAMIC_DISPATCH(ScaleRows)(rows, head_dim, inverses, result, out_stride);
    }
  }
}

}  // namespace quantized::kernels
#endif
