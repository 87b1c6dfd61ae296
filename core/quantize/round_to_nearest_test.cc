#include "core/quantize/round_to_nearest.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

Matrix NormalMatrix(size_t rows, size_t cols) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  Matrix matrix(rows, cols);
  for (float& value : matrix.values) value = normal(random);
  return matrix;
}

TEST(RoundToNearestTest, NoElementIsFurtherThanAStepAway) {
  ThreadPool threads(2);
  const Matrix weight = NormalMatrix(67, 128);  // a tile and a part of one
  for (const int bits : {2, 3, 4, 8}) {
    for (const size_t group_size : {size_t{32}, size_t{64}, size_t{128}, size_t{0}}) {
      const auto linear = RoundToNearest(
          weight, {.bits = bits, .group_size = group_size, .form = kernels::RangeForm::kWithZero},
          {}, threads);
      ASSERT_TRUE(linear.ok()) << linear.status();
      EXPECT_EQ(linear->group_size, group_size == 0 ? 128 : group_size);
      const Matrix decoded = Decoded(*linear);
      for (size_t row = 0; row < weight.rows; ++row) {
        for (size_t col = 0; col < weight.cols; ++col) {
          const float step = linear->scales.at(row, col / linear->group_size);
          ASSERT_LT(linear->codes[row * weight.cols + col], 1 << bits);
          ASSERT_LE(std::fabs(decoded.at(row, col) - weight.at(row, col)), step * 1.2f);
        }
      }
    }
  }
}

TEST(RoundToNearestTest, ColumnWeightsDecideTheRange) {
  ThreadPool threads(1);
  Matrix weight = NormalMatrix(8, 32);
  for (size_t row = 0; row < weight.rows; ++row) weight.at(row, 5) = 7;
  const GridOptions options = {.bits = 3, .search = RangeSearch::kHessianDiagonal};
  std::vector<float> column_weights(32, 1.0f);
  const auto error_of_column_5 = [&] {
    const auto linear = RoundToNearest(weight, options, column_weights, threads);
    EXPECT_TRUE(linear.ok());
    const Matrix decoded = Decoded(*linear);
    float sum = 0;
    for (size_t row = 0; row < weight.rows; ++row) sum += std::fabs(decoded.at(row, 5) - 7);
    return sum;
  };
  column_weights[5] = 1000;
  const float important = error_of_column_5();
  column_weights[5] = 0;
  EXPECT_GT(error_of_column_5(), important + 1);
}

TEST(RoundToNearestTest, RefusesWhatItCannotRound) {
  ThreadPool threads(1);
  Matrix weight = NormalMatrix(3, 64);
  const auto refusal = [&](const GridOptions& options, std::vector<float> column_weights = {}) {
    const auto linear = RoundToNearest(weight, options, column_weights, threads);
    EXPECT_FALSE(linear.ok());
    return linear.status();
  };
  EXPECT_THAT(std::string(refusal({.bits = 5}).message()),
              HasSubstr("bits: found 5, expected 2, 3, 4 or 8"));
  EXPECT_THAT(std::string(refusal({.group_size = 48}).message()),
              HasSubstr("group size: found 48, expected a divisor of 64"));
  EXPECT_THAT(std::string(refusal({}, {1, 2}).message()),
              HasSubstr("column weights: found 2, expected 64"));
  EXPECT_THAT(std::string(refusal({.search = RangeSearch::kPlain, .search_shrink = 1}).message()),
              HasSubstr("range search"));
  weight.at(2, 7) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(std::string(refusal({}).message()),
              HasSubstr("weight row 2, column 7: found nan, expected a finite number"));
  EXPECT_EQ(ErrorOf(refusal({})), Error::kValidationFailed);
}

}  // namespace
}  // namespace quantized
