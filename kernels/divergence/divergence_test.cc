#include "kernels/divergence/divergence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/testing/each_target.h"
#include "kernels/testing/rows.h"

namespace quantized::kernels {
namespace {

constexpr size_t kRows = 3;
constexpr size_t kVocabularies[] = {1, 2, 31, 32, 33, 100, 4099};

std::vector<float> Logits(size_t count, float deviation, uint64_t seed) {
  std::vector<float> logits(count);
  testing::RowKindNamed("normal").fill(logits, seed);
  for (float& logit : logits) logit *= 50 * deviation;
  return logits;
}

// In long double, by the definition of KL, not by its rearrangement.
RowDivergence Exact(const float* source, const float* other, size_t count, uint32_t target) {
  const auto log_softmax = [count](const float* x) {
    const long double max = *std::max_element(x, x + count);
    long double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += std::exp(x[i] - max);
    std::vector<long double> logs(count);
    for (size_t i = 0; i < count; ++i) logs[i] = x[i] - max - std::log(sum);
    return logs;
  };
  const auto s = log_softmax(source), o = log_softmax(other);
  long double kl = 0;
  for (size_t i = 0; i < count; ++i) kl += std::exp(s[i]) * (s[i] - o[i]);
  return {static_cast<double>(-s[target]), static_cast<double>(-o[target]), static_cast<double>(kl),
          std::max_element(source, source + count) - source ==
              std::max_element(other, other + count) - other};
}

double RangeOf(const float* x, size_t count) {
  const auto [min, max] = std::minmax_element(x, x + count);
  return static_cast<double>(*max) - *min;
}

// Both forms on every instruction set.
template <class Check>
void ForEachForm(const Check& check) {
  {
    SCOPED_TRACE("plain");
    check(CompareLogitsRef);
  }
  testing::ForEachSimdTarget([&] { check(CompareLogitsSimd); });
}

void ExpectExact(size_t vocabulary, const std::vector<float>& source,
                 const std::vector<float>& other) {
  std::vector<uint32_t> targets;
  for (size_t row = 0; row < kRows; ++row) {
    targets.push_back(static_cast<uint32_t>(row * 7919 % vocabulary));
  }
  ForEachForm([&](const auto& compare) {
    std::vector<RowDivergence> got(kRows);
    compare(kRows, vocabulary, source.data(), other.data(), targets.data(), got.data());
    for (size_t row = 0; row < kRows; ++row) {
      const float *s = &source[row * vocabulary], *o = &other[row * vocabulary];
      const RowDivergence want = Exact(s, o, vocabulary, targets[row]);
      const double range = 1 + std::max(RangeOf(s, vocabulary), RangeOf(o, vocabulary));
      EXPECT_NEAR(got[row].source_loss, want.source_loss, 0x1p-47 * range);
      EXPECT_NEAR(got[row].loss, want.loss, 0x1p-47 * range);
      EXPECT_NEAR(got[row].kl, want.kl, 0x1p-44 * range);
      EXPECT_GE(got[row].kl, 0);
      EXPECT_EQ(got[row].same_top, want.same_top);
    }
  });
}

TEST(DivergenceTest, IsWithinItsBound) {
  for (const size_t vocabulary : kVocabularies) {
    for (const float deviation : {0.01f, 3.0f, 40.0f, 1e4f}) {
      const std::vector<float> source = Logits(kRows * vocabulary, deviation, 1);
      for (const float noise : {0.0f, 1e-5f, 0.1f, 3.0f}) {
        SCOPED_TRACE(::testing::Message()
                     << vocabulary << " logits of " << deviation << ", noise " << noise);
        std::vector<float> other = Logits(kRows * vocabulary, noise * deviation, 2);
        for (size_t i = 0; i < other.size(); ++i) other[i] += source[i];
        ExpectExact(vocabulary, source, other);
      }
    }
  }
}

TEST(DivergenceTest, TakesTheEndsOfTheRange) {
  const size_t vocabulary = 37;
  std::vector<float> source(kRows * vocabulary, -3e38f), other(kRows * vocabulary, 3e38f);
  source[5] = 3e38f;
  other[6] = -3e38f;
  ExpectExact(vocabulary, source, other);
}

// One token has the probability 1/4 in one model and 1/2 in the other.
TEST(DivergenceTest, KnowsASmallCase) {
  const std::vector<float> source = {0, std::log(3.0f)}, other = {1, 1};
  const uint32_t target = 0;
  ForEachForm([&](const auto& compare) {
    RowDivergence got;
    compare(1, 2, source.data(), other.data(), &target, &got);
    EXPECT_NEAR(got.source_loss, std::log(4.0), 1e-7);
    EXPECT_NEAR(got.loss, std::log(2.0), 1e-15);
    EXPECT_NEAR(got.kl, 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-7);
    EXPECT_FALSE(got.same_top) << "the first of equals is the top";
  });
}

TEST(DivergenceTest, TheFirstOfEqualsIsTheTop) {
  const size_t vocabulary = 75;
  const uint32_t target = 0;
  for (const size_t first : {0, 1, 7, 31, 32, 64, 71, 74}) {
    for (const size_t second : {0, 1, 7, 31, 32, 64, 71, 74}) {
      std::vector<float> source(vocabulary), other(vocabulary);
      source[first] = source[74] = other[second] = 2;
      ForEachForm([&](const auto& compare) {
        RowDivergence got;
        compare(1, vocabulary, source.data(), other.data(), &target, &got);
        EXPECT_EQ(got.same_top, first == second) << first << ", " << second;
      });
    }
  }
}

TEST(DivergenceTest, ARowThatIsNotFiniteSaysSo) {
  const size_t vocabulary = 70;
  const std::vector<uint32_t> targets(2, 3);
  for (const float value :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    for (const size_t at : {0, 40, 69}) {
      for (const bool in_source : {false, true}) {
        std::vector<float> source = Logits(2 * vocabulary, 1, 1), other = source;
        (in_source ? source : other)[at] = value;
        ForEachForm([&](const auto& compare) {
          std::vector<RowDivergence> got(2);
          compare(2, vocabulary, source.data(), other.data(), targets.data(), got.data());
          EXPECT_TRUE(std::isnan(got[0].kl));
          EXPECT_TRUE(std::isnan(got[0].loss));
          EXPECT_TRUE(std::isnan(got[0].source_loss));
          EXPECT_FALSE(got[0].same_top);
          EXPECT_TRUE(std::isfinite(got[1].loss)) << "the next row is none of its business";
          EXPECT_TRUE(got[1].same_top);
        });
      }
    }
  }
}

}  // namespace
}  // namespace quantized::kernels
