#include "kernels/attention/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/attention/running_softmax.h"
#include "kernels/lanes/slots.h"
#include "kernels/testing/each_target.h"
#include "kernels/testing/rows.h"

namespace quantized::kernels {
namespace {

// q, k and v as one row of each token, as a fused projection leaves them.
class Sequence {
 public:
  Sequence(const AttentionShape& shape, float q_scale)
      : shape_(shape), qkv_(shape.tokens * stride()) {
    testing::RowKindNamed("normal").fill(qkv_, /*seed=*/shape.tokens);
    for (size_t i = 0; i < qkv_.size(); ++i) {
      const bool is_query = i % stride() < shape.heads * shape.head_dim;
      qkv_[i] *= is_query ? 50 * q_scale : 50;  // the kind's deviation is 1 / 50
    }
  }

  size_t stride() const { return (shape_.heads + 2 * shape_.kv_heads) * shape_.head_dim + 3; }
  size_t out_stride() const { return shape_.heads * shape_.head_dim + 5; }
  const float* q() const { return qkv_.data(); }
  const float* k() const { return q() + shape_.heads * shape_.head_dim; }
  const float* v() const { return k() + shape_.kv_heads * shape_.head_dim; }
  float* k() { return const_cast<float*>(std::as_const(*this).k()); }
  float* v() { return const_cast<float*>(std::as_const(*this).v()); }

  template <class Attention>
  std::vector<float> Run(const Attention& attention) const {
    std::vector<float> out(shape_.tokens * out_stride(), 77.0f);
    attention(shape_, q(), stride(), k(), v(), stride(), out.data(), out_stride());
    return out;
  }

  // The exact output of a query's head, and the header's bound for it.
  struct Exact {
    std::vector<double> out;
    double bound;
  };
  Exact ExactOf(size_t query, size_t head) const {
    const size_t group = head * shape_.kv_heads / shape_.heads, dim = shape_.head_dim;
    std::vector<double> scores;
    std::vector<size_t> keys;
    double largest_magnitude = 0, largest_value = 0;
    for (size_t j = 0; j < shape_.tokens; ++j) {
      if (j > query || (shape_.window != 0 && query - j >= shape_.window)) continue;
      double dot = 0, magnitude = 0;
      for (size_t c = 0; c < dim; ++c) {
        const double product = static_cast<double>(q()[query * stride() + head * dim + c]) *
                               k()[j * stride() + group * dim + c];
        dot += product;
        magnitude += std::fabs(product);
        largest_value =
            std::max(largest_value, std::fabs(double{v()[j * stride() + group * dim + c]}));
      }
      const double cap = shape_.softcap, score = dot * shape_.scale;
      scores.push_back(cap == 0 ? score : cap * std::tanh(score / cap));
      keys.push_back(j);
      largest_magnitude = std::max(largest_magnitude, magnitude * shape_.scale);
    }
    const double max = *std::max_element(scores.begin(), scores.end());
    Exact exact = {std::vector<double>(dim), 0};
    double sum = 0;
    for (double& score : scores) sum += score = std::exp(score - max);
    for (size_t at = 0; at < keys.size(); ++at) {
      for (size_t c = 0; c < dim; ++c) {
        exact.out[c] += scores[at] / sum * v()[keys[at] * stride() + group * dim + c];
      }
    }
    const double count = static_cast<double>(keys.size());
    const double e =
        (static_cast<double>(dim) + (shape_.softcap == 0 ? 4 : 16)) * 0x1p-24 * largest_magnitude;
    exact.bound = (3 * e + (count + 32) * 0x1p-24 + count * 0x1p-120) * largest_value;
    return exact;
  }

  // The bound is for the worst order of signs; `largest_error` is what these values come to.
  void ExpectExact(const std::vector<float>& out, double largest_error) const {
    for (size_t i = 0; i < shape_.tokens; ++i) {
      for (size_t head = 0; head < shape_.heads; ++head) {
        const Exact exact = ExactOf(i, head);
        for (size_t c = 0; c < shape_.head_dim; ++c) {
          const float got = out[i * out_stride() + head * shape_.head_dim + c];
          ASSERT_NEAR(got, exact.out[c], std::min(exact.bound, largest_error))
              << "query " << i << ", head " << head;
        }
      }
      for (size_t c = shape_.heads * shape_.head_dim; c < out_stride(); ++c) {
        ASSERT_EQ(out[i * out_stride() + c], 77.0f) << "beyond the heads of token " << i;
      }
    }
  }

 private:
  AttentionShape shape_;
  std::vector<float> qkv_;
};

constexpr AttentionShape kShapes[] = {
    {.tokens = 1, .heads = 1, .kv_heads = 1, .head_dim = 1, .scale = 1},
    {.tokens = 2, .heads = 2, .kv_heads = 1, .head_dim = 3, .scale = 0.5f},
    {.tokens = 63, .heads = 3, .kv_heads = 3, .head_dim = 16, .scale = 0.25f},
    {.tokens = 65, .heads = 6, .kv_heads = 2, .head_dim = 64, .scale = 0.125f},
    {.tokens = 150, .heads = 4, .kv_heads = 1, .head_dim = 20, .scale = 0.2f},
    {.tokens = 150, .heads = 4, .kv_heads = 2, .head_dim = 32, .window = 1, .scale = 0.2f},
    {.tokens = 150, .heads = 2, .kv_heads = 1, .head_dim = 32, .window = 37, .scale = 0.2f},
    {.tokens = 200, .heads = 2, .kv_heads = 2, .head_dim = 8, .window = 128, .scale = 0.3f},
    {.tokens = 70, .heads = 2, .kv_heads = 1, .head_dim = 33, .window = 70, .scale = 0.2f},
    {.tokens = 70, .heads = 2, .kv_heads = 1, .head_dim = 33, .window = 500, .scale = 0.2f},
    {.tokens = 75, .heads = 16, .kv_heads = 1, .head_dim = 8, .scale = 0.3f},
    {.tokens = 90, .heads = 4, .kv_heads = 2, .head_dim = 24, .scale = 0.2f, .softcap = 50},
    {.tokens = 90,
     .heads = 2,
     .kv_heads = 1,
     .head_dim = 24,
     .window = 40,
     .scale = 0.2f,
     .softcap = 5},
};

TEST(AttentionTest, IsWithinItsBoundOfDoublePrecision) {
  for (const AttentionShape& shape : kShapes) {
    for (const float q_scale : {0.01f, 1.0f, 30.0f}) {  // nearly uniform to nearly one-hot
      SCOPED_TRACE(::testing::Message()
                   << shape.tokens << " tokens, head of " << shape.head_dim << ", window "
                   << shape.window << ", queries times " << q_scale);
      const Sequence sequence(shape, q_scale);
      const double largest_error = q_scale > 1 ? 1e-4 : 3e-6;
      sequence.ExpectExact(sequence.Run(AttentionRef), largest_error);
      testing::ForEachSimdTarget(
          [&] { sequence.ExpectExact(sequence.Run(AttentionSimd), largest_error); });
    }
  }
}

// Blocks have fewer rows where there are many keys.
TEST(AttentionTest, LongSequencesAreNoException) {
  const AttentionShape shape = {
      .tokens = 40'000, .heads = 1, .kv_heads = 1, .head_dim = 2, .scale = 1};
  const Sequence sequence(shape, 1);
  const std::vector<float> out = sequence.Run(AttentionSimd);
  for (const size_t query : {size_t{0}, size_t{31}, size_t{16'384}, size_t{39'999}}) {
    const Sequence::Exact exact = sequence.ExactOf(query, 0);
    ASSERT_NEAR(out[query * sequence.out_stride()], exact.out[0], exact.bound) << query;
  }
}

// Scores far apart: all weight on one key, and the others' vanish rather than overflow.
TEST(AttentionTest, TakesScoresAtTheEndsOfTheRange) {
  const AttentionShape shape = {.tokens = 40, .heads = 1, .kv_heads = 1, .head_dim = 4, .scale = 1};
  std::vector<float> q(40 * 4, 1e15f), k(40 * 4), v(40 * 4), out(40 * 4);
  for (size_t j = 0; j < 40; ++j) {
    std::fill(&k[j * 4], &k[j * 4] + 4, j == 11 ? 2e20f : -1e20f);
    std::fill(&v[j * 4], &v[j * 4] + 4, static_cast<float>(j));
  }
  testing::ForEachSimdTarget([&] {
    AttentionSimd(shape, q.data(), 4, k.data(), v.data(), 4, out.data(), 4);
    EXPECT_FLOAT_EQ(out[10 * 4], 5.0f);  // all keys alike
    EXPECT_EQ(out[11 * 4], 11.0f);
    EXPECT_EQ(out[39 * 4 + 3], 11.0f);
  });
}

TEST(AttentionTest, LaterTokensDoNotShow) {
  for (const AttentionShape& shape : kShapes) {
    if (shape.tokens < 3) continue;
    Sequence sequence(shape, 1);
    const std::vector<float> before = sequence.Run(AttentionSimd);
    const size_t changed = shape.tokens * 2 / 3;
    for (size_t c = 0; c < shape.kv_heads * shape.head_dim; ++c) {
      sequence.k()[changed * sequence.stride() + c] = 5;
      sequence.v()[changed * sequence.stride() + c] = 1e10f;
    }
    const std::vector<float> after = sequence.Run(AttentionSimd);
    const auto row = [&](const std::vector<float>& out, size_t token) {
      return out.data() + token * sequence.out_stride();
    };
    const size_t bytes = shape.heads * shape.head_dim * sizeof(float);
    for (size_t token = 0; token < shape.tokens; ++token) {
      const bool sees = token >= changed && (shape.window == 0 || token - changed < shape.window);
      EXPECT_EQ(std::memcmp(row(before, token), row(after, token), bytes) != 0, sees) << token;
    }
  }
}

// What the CUDA form's warps compute, a query at a time: keys in tiles of 32, lane = key.
void AttendInTiles(const AttentionShape& shape, const float* q, size_t q_stride, const float* k,
                   const float* v, size_t kv_stride, float* out, size_t out_stride) {
  const size_t dim = shape.head_dim;
  for (size_t item = 0; item < shape.tokens * shape.heads; ++item) {
    const size_t query = item / shape.heads, head = item % shape.heads;
    const size_t group_at = head / (shape.heads / shape.kv_heads) * dim;
    float largest = -INFINITY, sums[kSlots] = {};
    std::vector<float> result(dim);
    const size_t block = query / kSlots * kSlots;
    for (size_t tile = FirstVisibleKey(shape.window, block) / kSlots * kSlots;
         tile < block + kSlots; tile += kSlots) {
      float scores[kSlots], larger = largest;
      for (size_t lane = 0; lane < kSlots; ++lane) {
        const size_t key = tile + lane;
        scores[lane] = -INFINITY;
        if (!SeesKey(shape.window, query, key)) continue;
        float dot = 0;
        for (size_t c = 0; c < dim; ++c) {
          dot = std::fma(q[query * q_stride + head * dim + c], k[key * kv_stride + group_at + c],
                         dot);
        }
        scores[lane] = ScoreOfDot(dot, shape.scale, shape.softcap);
        larger = std::max(larger, scores[lane]);
      }
      const float correction = CorrectionOf(largest, larger);
      largest = larger;
      for (float& value : result) value *= correction;
      for (size_t lane = 0; lane < kSlots; ++lane) {
        const float weight = WeightOfScore(scores[lane], larger);
        sums[lane] = std::fma(sums[lane], correction, weight);
        for (size_t c = 0; c < dim && weight != 0; ++c) {
          result[c] = std::fma(weight, v[(tile + lane) * kv_stride + group_at + c], result[c]);
        }
      }
    }
    const float sum = FoldSlots(sums);
    for (size_t c = 0; c < dim; ++c) out[query * out_stride + head * dim + c] = result[c] / sum;
  }
}

TEST(AttentionTest, TilesWithARunningSoftmaxAreWithinTheBound) {
  for (const AttentionShape& shape : kShapes) {
    for (const float q_scale : {0.01f, 1.0f, 30.0f}) {
      SCOPED_TRACE(::testing::Message() << shape.tokens << " tokens, window " << shape.window
                                        << ", queries times " << q_scale);
      const Sequence sequence(shape, q_scale);
      sequence.ExpectExact(sequence.Run(AttendInTiles), q_scale > 1 ? 1e-4 : 3e-6);
    }
  }
}

TEST(AttentionTest, GivesTheSameBitsAgain) {
  const Sequence sequence(kShapes[3], 1);
  testing::ForEachSimdTarget(
      [&] { EXPECT_EQ(sequence.Run(AttentionSimd), sequence.Run(AttentionSimd)); });
}

}  // namespace
}  // namespace quantized::kernels
