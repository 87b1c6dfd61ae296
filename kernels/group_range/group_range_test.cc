#include "kernels/group_range/group_range.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/testing/each_target.h"

namespace quantized::kernels {
namespace {

constexpr RangeForm kForms[] = {RangeForm::kSymmetric, RangeForm::kWithZero, RangeForm::kSpan};
constexpr size_t kRows = 64;

// [count, kRows]; rows differ in size, sign, and in what is odd about them.
std::vector<float> Values(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count * kRows);
  for (size_t i = 0; i < count; ++i) {
    for (size_t row = 0; row < kRows; ++row) {
      float value = normal(random) * std::ldexp(1.0f, static_cast<int>(row) - 32);
      switch (row % 8) {
        case 1:
          value = std::fabs(value);
          break;
        case 2:
          value = -std::fabs(value);
          break;
        case 3:
          value = 0;
          break;
        case 4:
          value *= i == 0 ? 1e30f : 1;
          break;
        case 5:
          value *= 1e-38f;
          break;
        case 6:
          value = 3 + value * 1e-3f;
          break;
        default:
          break;
      }
      values[i * kRows + row] = value;
    }
  }
  return values;
}

std::vector<float> Weights(size_t count) {
  std::vector<float> weights(count);
  for (size_t i = 0; i < count; ++i) weights[i] = static_cast<float>((i * 7) % 5);
  return weights;
}

struct Chosen {
  std::vector<float> scale = std::vector<float>(kRows), zero = std::vector<float>(kRows);
};

std::vector<uint32_t> Bits(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  std::transform(values.begin(), values.end(), bits.begin(), BitsOf);
  return bits;
}

template <class Body>
void ForEachRule(const Body& body) {
  for (const RangeForm form : kForms) {
    for (const int bits : {2, 3, 4, 8}) {
      for (const bool positive : {false, true}) {
        for (const int steps : {0, 20}) {
          SCOPED_TRACE(::testing::Message()
                       << "form " << static_cast<int>(form) << ", " << bits << " bits, positive "
                       << positive << ", steps " << steps);
          body(RangeRule{form, bits, positive, steps});
        }
      }
    }
  }
}

TEST(GroupRangeTest, SameBitsOnEveryTarget) {
  for (const size_t count : {1, 32, 67}) {
    std::vector<float> values = Values(count, /*seed=*/static_cast<uint32_t>(count));
    values[kRows * (count / 2) + 10] = std::numeric_limits<float>::quiet_NaN();
    values[kRows * (count / 2) + 11] = std::numeric_limits<float>::infinity();
    values[kRows * (count / 2) + 12] = -std::numeric_limits<float>::infinity();
    const std::vector<float> weights = Weights(count);
    ForEachRule([&](RangeRule rule) {
      for (const float exponent : {2.0f, 2.4f}) {
        rule.exponent = exponent;
        Chosen want;
        ChooseRangeRef(values.data(), count, kRows, weights.data(), rule, want.scale.data(),
                       want.zero.data());
        std::vector<uint8_t> want_codes(values.size());
        std::vector<float> want_decoded(values.size());
        EncodeGroupRef(values.data(), count, kRows, want.scale.data(), want.zero.data(), rule.bits,
                       want_codes.data(), want_decoded.data());
        testing::ForEachSimdTarget([&] {
          Chosen got;
          ChooseRangeSimd(values.data(), count, kRows, weights.data(), rule, got.scale.data(),
                          got.zero.data());
          ASSERT_EQ(Bits(got.scale), Bits(want.scale));
          ASSERT_EQ(Bits(got.zero), Bits(want.zero));
          std::vector<uint8_t> codes(values.size());
          std::vector<float> decoded(values.size());
          EncodeGroupSimd(values.data(), count, kRows, got.scale.data(), got.zero.data(), rule.bits,
                          codes.data(), decoded.data());
          ASSERT_EQ(codes, want_codes);
          ASSERT_EQ(Bits(decoded), Bits(want_decoded));
        });
      }
    });
  }
}

TEST(GroupRangeTest, ScalesAreStorableAndZeroPointsAreCodes) {
  constexpr size_t kCount = 64;
  const std::vector<float> values = Values(kCount, 1), weights = Weights(kCount);
  ForEachRule([&](const RangeRule& rule) {
    Chosen chosen;
    ChooseRangeRef(values.data(), kCount, kRows, weights.data(), rule, chosen.scale.data(),
                   chosen.zero.data());
    for (size_t row = 0; row < kRows; ++row) {
      ASSERT_GT(chosen.scale[row], 0);
      ASSERT_TRUE(std::isfinite(chosen.scale[row]));
      ASSERT_EQ(F16ToF32(F32ToF16(chosen.scale[row])), chosen.scale[row]);
      ASSERT_EQ(chosen.zero[row], std::floor(chosen.zero[row]));
      const bool from_one = rule.positive_zero_point && rule.form != RangeForm::kSymmetric;
      ASSERT_GE(chosen.zero[row], from_one ? 1 : 0);
      ASSERT_LE(chosen.zero[row], MaxCode(rule.bits));
    }
  });
}

// Without a search no value of a range that is not cut off is further than half a step from what
// its code stands for.
TEST(GroupRangeTest, RangeHoldsItsValues) {
  constexpr size_t kCount = 64;
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(kCount * kRows);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t row = i % kRows;
    values[i] = uniform(random) + (row % 3 == 0 ? 1.0f : row % 3 == 1 ? -1.0f : 0.2f);
  }
  for (const RangeForm form : {RangeForm::kSymmetric, RangeForm::kWithZero}) {
    for (const bool positive : {false, true}) {
      for (const int bits : {2, 3, 4, 8}) {
        Chosen chosen;
        ChooseRangeRef(values.data(), kCount, kRows, nullptr, {form, bits, positive},
                       chosen.scale.data(), chosen.zero.data());
        std::vector<uint8_t> codes(values.size());
        std::vector<float> decoded(values.size());
        EncodeGroupRef(values.data(), kCount, kRows, chosen.scale.data(), chosen.zero.data(), bits,
                       codes.data(), decoded.data());
        for (size_t i = 0; i < values.size(); ++i) {
          // Rounding of the scale and of the zero point takes another half step and 2^-11 of all.
          const float step = chosen.scale[i % kRows];
          ASSERT_LE(std::fabs(decoded[i] - values[i]), step * (1.01f + 0.001f * MaxCode(bits)));
        }
      }
    }
  }
}

// Checked in double against every candidate.
TEST(GroupRangeTest, SearchTakesTheLeastError) {
  constexpr size_t kCount = 32;
  std::vector<float> values(kCount * kRows);
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  for (float& value : values) value = normal(random);
  std::fill(values.begin(), values.begin() + kRows, 6.0f);  // an outlier that few weigh
  std::vector<float> weights(kCount, 1.0f);
  weights[0] = 0.01f;
  for (const RangeForm form : kForms) {
    const RangeRule rule{form, 3, false, 20};
    Chosen chosen;
    ChooseRangeSimd(values.data(), kCount, kRows, weights.data(), rule, chosen.scale.data(),
                    chosen.zero.data());
    for (size_t row = 0; row < kRows; ++row) {
      const auto error = [&](const ScaleAndZero& grid) {
        double sum = 0;
        for (size_t i = 0; i < kCount; ++i) {
          const float x = values[i * kRows + row];
          const double code = CodeOf(x, grid.scale, grid.zero, 7);
          sum += weights[i] * std::pow((code - grid.zero) * grid.scale - x, 2);
        }
        return sum;
      };
      float low = values[row], high = values[row];
      for (size_t i = 1; i < kCount; ++i) {
        low = std::min(low, values[i * kRows + row]);
        high = std::max(high, values[i * kRows + row]);
      }
      double least = std::numeric_limits<double>::infinity();
      for (int step = 0; step <= 20; ++step) {
        const float size = RangeSize(rule, step);
        least = std::min(least, error(ScaleAndZeroOf(low * size, high * size, rule)));
      }
      ASSERT_LE(error({chosen.scale[row], chosen.zero[row]}), least * 1.00001);
      ASSERT_LT(least, error(ScaleAndZeroOf(low, high, rule)));
    }
  }
}

}  // namespace
}  // namespace quantized::kernels
