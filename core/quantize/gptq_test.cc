#include "core/quantize/gptq.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/quantize/gram_loss.h"
#include "core/quantize/round_to_nearest.h"
#include "core/quantize/test_layer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/types/half.h"
#include "tests/support/allocation_count.h"

namespace quantized {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::GoldenLayer;
using ::testing::HasSubstr;
using testing::PeakOf;

constexpr ColumnOrder kOrders[] = {ColumnOrder::kNatural, ColumnOrder::kGroupAware,
                                   ColumnOrder::kStaticActivation, ColumnOrder::kActivation};

Matrix NormalMatrix(size_t rows, size_t cols, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Matrix matrix(rows, cols);
  for (float& value : matrix.values) value = normal(random);
  return matrix;
}

// Mean of x·xᵀ over `count` inputs, neighbouring columns alike, column sizes a hundredfold apart.
Matrix Gram(size_t cols, size_t count, uint32_t seed) {
  Matrix x = NormalMatrix(count, cols, seed);
  for (size_t row = 0; row < count; ++row) {
    for (size_t col = 1; col < cols; ++col) x.at(row, col) += 0.8f * x.at(row, col - 1);
    for (size_t col = 0; col < cols; ++col) {
      x.at(row, col) *= 0.1f + 10 * static_cast<float>(col * 37 % cols == 3);
    }
  }
  Matrix gram(cols, cols);
  for (size_t i = 0; i < cols; ++i) {
    for (size_t j = i; j < cols; ++j) {
      double sum = 0;
      for (size_t row = 0; row < count; ++row) {
        sum += static_cast<double>(x.at(row, i)) * static_cast<double>(x.at(row, j));
      }
      gram.at(i, j) = static_cast<float>(sum / static_cast<double>(count));
    }
  }
  return gram;
}

double RelativeLoss(const Matrix& weight, const QuantizedLinear& linear, const Matrix& gram) {
  ThreadPool threads(1);
  Matrix difference = Decoded(linear);
  for (size_t i = 0; i < weight.values.size(); ++i) difference.values[i] -= weight.values[i];
  return GramLoss(difference, gram, threads) / GramLoss(weight, gram, threads);
}

void ExpectValid(const QuantizedLinear& linear, int bits, unsigned least_zero) {
  for (const uint8_t code : linear.codes) ASSERT_LT(code, 1 << bits);
  for (const uint8_t zero : linear.zeros) {
    ASSERT_GE(zero, least_zero);
    ASSERT_LT(zero, 1 << bits);
  }
  for (const float scale : linear.scales.values) {
    ASSERT_GT(scale, 0);
    ASSERT_TRUE(std::isfinite(scale));
    ASSERT_EQ(kernels::F16ToF32(kernels::F32ToF16(scale)), scale);
  }
}

TEST(ColumnOrderTest, SortsAsItSays) {
  const std::vector<float> diagonal = {1, 5, 2, 2, 9, 0, 3, 3};
  EXPECT_THAT(OrderColumns(diagonal, 4, ColumnOrder::kNatural),
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(OrderColumns(diagonal, 4, ColumnOrder::kGroupAware),
              ElementsAre(4, 6, 7, 5, 1, 2, 3, 0));
  EXPECT_THAT(OrderColumns(diagonal, 4, ColumnOrder::kActivation),
              ElementsAre(4, 1, 6, 7, 2, 3, 0, 5));
}

// Every row length around blocks and tiles, every order: better than rounding, and the error that
// it tells is the error of what it made.
TEST(GptqTest, IsBetterThanRoundingAndTellsItsError) {
  ThreadPool threads(2);
  const Matrix gram = Gram(/*cols=*/320, /*count=*/900, /*seed=*/1);
  const Matrix weight = NormalMatrix(/*rows=*/67, /*cols=*/320, /*seed=*/2);
  for (const int bits : {2, 3, 4, 8}) {
    for (const size_t group_size : {size_t{32}, size_t{64}, size_t{160}, size_t{0}}) {
      for (const ColumnOrder order : kOrders) {
        for (const bool symmetric : {true, false}) {
          SCOPED_TRACE(::testing::Message() << bits << " bits, group " << group_size << ", order "
                                            << static_cast<int>(order) << ", " << symmetric);
          const auto result =
              Gptq(weight, gram,
                   {.bits = bits, .group_size = group_size, .symmetric = symmetric, .order = order},
                   threads);
          ASSERT_TRUE(result.ok()) << result.status();
          EXPECT_FALSE(result->fell_back_to_rounding);
          EXPECT_TRUE(result->notes.empty());
          EXPECT_EQ(result->damping_used, GptqOptions().damping);
          ExpectValid(result->linear, bits, 0);
          const double error = RelativeLoss(weight, result->linear, gram);
          EXPECT_NEAR(result->relative_error, error, error * 1e-3 + 1e-9);
          const auto rounded = RoundToNearest(
              weight,
              {.bits = bits,
               .group_size = group_size,
               .form = symmetric ? kernels::RangeForm::kSymmetric : kernels::RangeForm::kWithZero},
              {}, threads);
          ASSERT_TRUE(rounded.ok());
          EXPECT_LT(error, 0.8 * RelativeLoss(weight, *rounded, gram));
        }
      }
    }
  }
}

TEST(GptqTest, ThreadsDoNotShow) {
  const Matrix gram = Gram(256, 400, 3);
  const Matrix weight = NormalMatrix(200, 256, 4);
  for (const ColumnOrder order : kOrders) {
    GptqOptions options = {.group_size = 64, .order = order};
    options.refine = {.passes = 2, .refit_scales = true};
    ThreadPool one(1);
    const auto want = Gptq(weight, gram, options, one);
    ASSERT_TRUE(want.ok());
    for (const size_t count : {2, 5}) {
      ThreadPool threads(count);
      const auto got = Gptq(weight, gram, options, threads);
      ASSERT_TRUE(got.ok());
      EXPECT_EQ(got->linear.codes, want->linear.codes);
      EXPECT_EQ(got->linear.zeros, want->linear.zeros);
      EXPECT_EQ(got->linear.scales.values, want->linear.scales.values);
      EXPECT_EQ(got->loss, want->loss);
      EXPECT_EQ(got->relative_error, want->relative_error);
    }
  }
}

TEST(GptqTest, AFactorServesSeveralLinears) {
  ThreadPool threads(1);
  const Matrix gram = Gram(128, 400, 5);
  const GptqOptions options = {.group_size = 32};
  const auto factor = MakeGptqFactor(gram, FactorOptions(options));
  ASSERT_TRUE(factor.ok()) << factor.status();
  for (const uint32_t seed : {6u, 7u}) {
    const Matrix weight = NormalMatrix(20, 128, seed);
    const auto alone = Gptq(weight, gram, options, threads);
    const auto shared = Gptq(weight, gram, *factor, options, threads);
    ASSERT_TRUE(alone.ok() && shared.ok());
    EXPECT_EQ(alone->linear.codes, shared->linear.codes);
    EXPECT_EQ(alone->loss, shared->loss);
  }
}

// Also where all weights have one sign, so that 0 would be the natural zero point.
TEST(GptqTest, ZeroPointsFromOneOn) {
  ThreadPool threads(1);
  const Matrix gram = Gram(128, 400, 8);
  Matrix weight = NormalMatrix(30, 128, 9);
  for (float& value : weight.values) value = std::fabs(value);
  for (const bool awq_range : {false, true}) {
    for (const int bits : {2, 3, 4, 8}) {
      GptqOptions options = {.bits = bits, .group_size = 32, .symmetric = false};
      options.awq_range = awq_range;
      const auto free = Gptq(weight, gram, options, threads);
      ASSERT_TRUE(free.ok());
      EXPECT_THAT(free->linear.zeros, Contains(0));
      options.avoid_zero_point_zero = true;
      const auto bounded = Gptq(weight, gram, options, threads);
      ASSERT_TRUE(bounded.ok());
      ExpectValid(bounded->linear, bits, 1);
      // One code less: of 2 bits a third of the range.
      EXPECT_LT(bounded->relative_error, 5 * free->relative_error + 1e-4);
    }
  }
}

TEST(GptqTest, RefinementNeverRaisesTheLoss) {
  ThreadPool threads(1);
  const GoldenLayer layer;
  for (const ColumnOrder order : kOrders) {
    for (const bool refit : {false, true}) {
      double last = std::numeric_limits<double>::infinity();
      for (const int passes : {0, 1, 2, 4}) {
        GptqOptions options = {.bits = 3, .group_size = 32, .order = order};
        options.refine = {.passes = passes, .refit_scales = refit};
        const auto result = Gptq(layer.weight(), layer.gram(), options, threads);
        ASSERT_TRUE(result.ok());
        ExpectValid(result->linear, 3, 0);
        EXPECT_LE(result->loss, last * 1.0001);
        if (passes == 1) {
          EXPECT_LT(result->loss, 0.999 * last);
        }
        last = result->loss;
        const double error = RelativeLoss(layer.weight(), result->linear, layer.gram());
        EXPECT_NEAR(result->relative_error, error, error * 1e-2);
      }
    }
  }
}

TEST(GptqTest, ColumnsWithoutInputAreRounded) {
  ThreadPool threads(1);
  Matrix gram = Gram(128, 400, 10);
  for (const size_t col : {3, 40, 41, 127}) {
    for (size_t i = 0; i < 128; ++i) gram.at(std::min(i, col), std::max(i, col)) = 0;
  }
  const Matrix weight = NormalMatrix(16, 128, 11);
  for (const int passes : {0, 2}) {
    GptqOptions options = {.group_size = 32, .search = RangeSearch::kNone};
    options.refine.passes = passes;
    const auto result = Gptq(weight, gram, options, threads);
    ASSERT_TRUE(result.ok());
    EXPECT_FALSE(result->fell_back_to_rounding);
    EXPECT_THAT(result->notes, ElementsAre(HasSubstr("4 of 128 input columns had no input")));
    const Matrix decoded = Decoded(result->linear);
    for (size_t row = 0; row < weight.rows; ++row) {
      EXPECT_NEAR(decoded.at(row, 40), weight.at(row, 40),
                  result->linear.scales.at(row, 1) * 0.51f);
    }
    EXPECT_NEAR(result->relative_error, RelativeLoss(weight, result->linear, gram), 1e-5);
  }
}

TEST(GptqTest, AGramMatrixOfZerosIsRounding) {
  ThreadPool threads(1);
  const Matrix weight = NormalMatrix(16, 64, 12);
  const auto result =
      Gptq(weight, Matrix(64, 64), {.group_size = 32, .refine = {.passes = 0}}, threads);
  const auto rounded = RoundToNearest(weight, {.group_size = 32}, {}, threads);
  ASSERT_TRUE(result.ok() && rounded.ok());
  EXPECT_EQ(result->linear.codes, rounded->codes);
  EXPECT_EQ(result->relative_error, 0);
}

// Sums of whole numbers, of rank 20: exact in both precisions, so that nothing but the damping
// makes the matrix definite, and single precision loses that.
Matrix GramOfLowRank(size_t columns) {
  constexpr size_t kRank = 20;
  Matrix gram(columns, columns);
  std::mt19937 random(13);
  for (size_t input = 0; input < kRank; ++input) {
    std::vector<float> x(columns);
    for (float& value : x) value = static_cast<float>(random() % 17) - 8;
    for (size_t i = 0; i < columns; ++i) {
      for (size_t j = i; j < columns; ++j) gram.at(i, j) += x[i] * x[j];
    }
  }
  return gram;
}

TEST(GptqMemoryTest, IsNoMoreThanPlanned) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "a sanitizer's operator new";
  constexpr size_t kColumns = 768, kRows = 256, kThreads = 3;
  const Matrix low_rank = GramOfLowRank(kColumns);
  const size_t for_factor = PeakOf([&] {
    const auto factor = MakeGptqFactor(low_rank, {.group_size = 32, .damping = 1e-9});
    ASSERT_TRUE(factor.ok());
    EXPECT_THAT(factor->notes, ElementsAre("the gram matrix needed double precision"));
  });
  EXPECT_LE(for_factor, FactorMemoryBytes(kColumns));
  EXPECT_GE(for_factor, 2 * kColumns * kColumns * sizeof(double));

  ThreadPool threads(kThreads);
  const Matrix weight = NormalMatrix(kRows, kColumns, 1), gram = Gram(kColumns, 64, 2);
  const GptqOptions options = {.group_size = 32};
  const auto factor = MakeGptqFactor(gram, FactorOptions(options));
  ASSERT_TRUE(factor.ok());
  const size_t for_tiles =
      PeakOf([&] { ASSERT_TRUE(Gptq(weight, gram, *factor, options, threads).ok()); });
  const size_t result_bytes = kRows * kColumns * 2;  // codes, and a scale for 32 of them
  EXPECT_LE(for_tiles, kThreads * GptqTileMemoryBytes(kColumns) + result_bytes);
}

// What each rung of the ladder is for.
TEST(GptqFactorTest, DoublePrecisionBeforeMoreDamping) {
  const auto factor = MakeGptqFactor(GramOfLowRank(64), {.group_size = 32, .damping = 1e-9});
  ASSERT_TRUE(factor.ok());
  EXPECT_FALSE(factor->upper.empty());
  EXPECT_EQ(factor->damping_used, 1e-9);
  EXPECT_THAT(factor->notes, ElementsAre("the gram matrix needed double precision"));
}

// [[1, c], [c, 1]] in pairs: the least eigenvalue is 1 - c.
Matrix Pairs(size_t cols, float beside) {
  Matrix gram(cols, cols);
  for (size_t i = 0; i < cols; ++i) gram.at(i, i) = 1;
  for (size_t i = 0; i < cols; i += 2) gram.at(i, i + 1) = beside;
  return gram;
}

TEST(GptqFactorTest, DampingRisesUntilTheMatrixIsDefinite) {
  const auto factor = MakeGptqFactor(Pairs(64, 1.1f), {.group_size = 32});
  ASSERT_TRUE(factor.ok());
  EXPECT_FALSE(factor->upper.empty());
  EXPECT_GT(factor->damping_used, 0.1);
  EXPECT_LT(factor->damping_used, 0.2);
  EXPECT_THAT(factor->notes, ElementsAre(HasSubstr("damping raised from 0.01 to 0.16")));
}

TEST(GptqFactorTest, ThenTheDiagonalIsRaised) {
  Matrix gram = Pairs(512, 50);
  gram.at(0, 0) = 1e4f;  // the mean of the diagonal is about 20
  gram.at(0, 1) = 0;
  const auto factor = MakeGptqFactor(gram, {.group_size = 32});
  ASSERT_TRUE(factor.ok());
  EXPECT_FALSE(factor->upper.empty());
  EXPECT_THAT(factor->notes, ElementsAre(HasSubstr("to at least 0.01 of its largest element")));
}

TEST(GptqTest, ThenWeightsAreRounded) {
  ThreadPool threads(2);
  const Matrix weight = NormalMatrix(16, 64, 14);
  const auto result = Gptq(weight, Pairs(64, 5), {.group_size = 32}, threads);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->fell_back_to_rounding);
  EXPECT_THAT(result->notes,
              ElementsAre(HasSubstr("not positive definite"), HasSubstr("rounded to nearest")));
  ExpectValid(result->linear, 4, 0);
}

TEST(GptqTest, AGramMatrixThatIsNotFiniteMeansRounding) {
  ThreadPool threads(1);
  const Matrix weight = NormalMatrix(16, 64, 15);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const auto& [row, col] : {std::pair<size_t, size_t>{3, 3}, {2, 60}}) {
      Matrix gram = Gram(64, 100, 16);
      gram.at(row, col) = bad;
      const auto result = Gptq(weight, gram, {.group_size = 32}, threads);
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_TRUE(result->fell_back_to_rounding);
      EXPECT_THAT(result->notes, Contains(HasSubstr("gram matrix row ")));
      EXPECT_GT(result->relative_error, 1e-4);
      EXPECT_LT(result->relative_error, 0.1);
      ExpectValid(result->linear, 4, 0);
    }
  }
}

TEST(GptqTest, SurvivesExtremeSizes) {
  ThreadPool threads(1);
  for (const float size : {1e-30f, 1e-6f, 1e6f, 1e30f}) {
    for (const bool symmetric : {true, false}) {
      Matrix weight = NormalMatrix(4, 64, 17), gram = Gram(64, 100, 18);
      for (float& value : weight.values) value *= size;
      for (float& value : gram.values) value /= size;
      const auto result = Gptq(weight, gram, {.group_size = 32, .symmetric = symmetric}, threads);
      ASSERT_TRUE(result.ok()) << result.status();
      ExpectValid(result->linear, 4, 0);
    }
  }
}

TEST(GptqTest, RefusesWhatDoesNotFit) {
  ThreadPool threads(1);
  Matrix weight = NormalMatrix(4, 64, 19);
  const Matrix gram = Gram(64, 100, 20);
  const auto message = [&](const Matrix& with, const GptqOptions& options) {
    const auto result = Gptq(weight, with, options, threads);
    EXPECT_FALSE(result.ok());
    EXPECT_EQ(ErrorOf(result.status()), Error::kInvalidArgument);
    return std::string(result.status().message());
  };
  EXPECT_THAT(message(gram, {.bits = 6}), HasSubstr("bits: found 6"));
  EXPECT_THAT(message(gram, {.group_size = 128}), HasSubstr("group size: found 128"));
  EXPECT_THAT(message(gram, {.group_size = 32, .damping = -1}), HasSubstr("damping: found -1"));
  EXPECT_THAT(message(Gram(32, 100, 21), {.group_size = 32}),
              HasSubstr("gram matrix: found 32 x 32, expected 64 x 64"));
  weight.at(1, 2) = -std::numeric_limits<float>::infinity();
  const auto result = Gptq(weight, gram, {.group_size = 32}, threads);
  EXPECT_EQ(ErrorOf(result.status()), Error::kValidationFailed);
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("weight row 1, column 2: found an infinity"));
}

TEST(GptqTest, ADescriptionTellsOptionsApart) {
  const std::string usual = Describe(GptqOptions{});
  EXPECT_EQ(usual, Describe(GptqOptions{.bits = 4}));
  for (const GptqOptions& other : {GptqOptions{.bits = 3}, GptqOptions{.damping = 0.0100000001},
                                   GptqOptions{.search = RangeSearch::kPlain},
                                   GptqOptions{.refine = {.passes = 2, .refit_scales = true}}}) {
    EXPECT_NE(usual, Describe(other));
  }
}

}  // namespace
}  // namespace quantized
