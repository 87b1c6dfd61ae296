// core/quantize/awq_scale.h and awq_clip.h; against the reference: calibrated_golden_test.cc.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/quantize/awq_clip.h"
#include "core/quantize/awq_scale.h"
#include "core/quantize/gptq.h"
#include "core/quantize/gram_loss.h"
#include "core/quantize/round_to_nearest.h"
#include "core/quantize/row_tile.h"
#include "core/quantize/test_layer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using ::testing::Each;
using testing::GoldenLayer;
using ::testing::HasSubstr;

constexpr size_t kCols = GoldenLayer::kCols;
const AwqScaleOptions kScaleOptions = {.group_size = GoldenLayer::kGroupSize};
const AwqClipOptions kClipOptions = {.group_size = GoldenLayer::kGroupSize};

absl::StatusOr<AwqScaleResult> SearchScale(const std::vector<const Matrix*>& linears,
                                           const GoldenLayer& layer, const Matrix& gram,
                                           const AwqScaleOptions& options, size_t thread_count) {
  ThreadPool threads(thread_count);
  return SearchAwqScale(linears, gram, layer.mean_magnitude(), options, threads);
}

// D·H·Dᵀ with D the change that `linear`, made of weight * scales, means for the weight.
double LossOf(const QuantizedLinear& linear, const std::vector<float>& scales, const Matrix& weight,
              const Matrix& gram) {
  ThreadPool threads(1);
  Matrix difference = Decoded(linear);
  for (size_t i = 0; i < difference.values.size(); ++i) {
    difference.values[i] = difference.values[i] / scales[i % kCols] - weight.values[i];
  }
  return GramLoss(difference, gram, threads);
}

TEST(AwqScaleTest, TellsTheLossOfWhatItChose) {
  const GoldenLayer layer;
  const Matrix weight = layer.weight(), gram = layer.gram();
  const auto scale = SearchScale({&weight}, layer, gram, kScaleOptions, 1);
  ASSERT_TRUE(scale.ok()) << scale.status();
  ThreadPool threads(1);
  const auto linear = AwqRound(ScaleColumns(weight, scale->scales), {}, kClipOptions, threads);
  ASSERT_TRUE(linear.ok());
  const double loss = LossOf(*linear, scale->scales, weight, gram);
  EXPECT_NEAR(scale->loss, loss, loss * 1e-4);
  EXPECT_LT(scale->loss, 0.2 * scale->identity_loss);
}

TEST(AwqScaleTest, SumsOverStackedLinearsWhateverTheThreads) {
  const GoldenLayer layer;
  const Matrix gram = layer.gram();
  Matrix tall(200, kCols);
  for (size_t i = 0; i < tall.values.size(); ++i) {
    tall.values[i] = layer.weight().values[i % (48 * kCols)] * (i % 3 == 0 ? -1.0f : 0.7f);
    if (i % kCols == 0 && i / kCols > 4) break;  // the rest stays 0: costs nothing to round
  }
  const Matrix weight = layer.weight();
  const auto one = SearchScale({&weight, &tall}, layer, gram, kScaleOptions, 1);
  ASSERT_TRUE(one.ok()) << one.status();
  for (const size_t count : {2, 5}) {
    const auto several = SearchScale({&weight, &tall}, layer, gram, kScaleOptions, count);
    ASSERT_TRUE(several.ok());
    EXPECT_EQ(several->losses, one->losses);
    EXPECT_EQ(several->scales, one->scales);
  }
  const auto alone = SearchScale({&weight}, layer, gram, kScaleOptions, 1);
  ASSERT_TRUE(alone.ok());
  EXPECT_GT(one->identity_loss, alone->identity_loss);
}

TEST(AwqScaleTest, IdentityWinsWhereScalingDoesHarm) {
  const GoldenLayer layer;
  ThreadPool threads(1);
  // One row, exactly on a grid: s = 1 costs nothing.
  Matrix weight(1, kCols), gram(kCols, kCols);
  for (size_t i = 0; i < kCols; ++i) {
    weight.at(0, i) = static_cast<float>(i % 16) - 8;
    gram.at(i, i) = 1;
  }
  const auto scale = SearchScale({&weight}, layer, gram, kScaleOptions, 1);
  ASSERT_TRUE(scale.ok()) << scale.status();
  EXPECT_EQ(scale->exponent, std::nullopt);
  EXPECT_THAT(scale->scales, Each(1.0f));
  EXPECT_EQ(scale->loss, 0);
}

TEST(AwqScaleTest, ColumnsOfOneNumberGetOneScale) {
  const GoldenLayer layer;
  const Matrix weight = layer.weight(), gram = layer.gram();
  AwqScaleOptions options = kScaleOptions;
  for (size_t col = 0; col < kCols; ++col) {
    options.same_scale.push_back(static_cast<uint32_t>(col / 64 * 32 + col % 32));
  }
  const auto free = SearchScale({&weight}, layer, gram, kScaleOptions, 1);
  const auto bound = SearchScale({&weight}, layer, gram, options, 1);
  ASSERT_TRUE(free.ok() && bound.ok());
  for (size_t col = 0; col < kCols; ++col) {
    EXPECT_EQ(bound->scales[col], bound->scales[col % 32 + col / 64 * 64]);
  }
  EXPECT_LE(free->loss, bound->loss);
  EXPECT_LE(bound->loss, bound->identity_loss);
}

TEST(AwqScaleTest, ASampleOfRowsDecidesWhereAsked) {
  const GoldenLayer layer;
  const Matrix weight = layer.weight(), gram = layer.gram();
  // Of six tiles every second one: those of `weight`, not the zeros between them.
  const Matrix zeros(kTileRows, kCols);
  Matrix tile(kTileRows, kCols);
  for (size_t row = 0; row < kTileRows; ++row) {
    std::copy_n(weight.row(row % weight.rows), kCols, tile.row(row));
  }
  AwqScaleOptions options = kScaleOptions;
  options.search_rows = 3 * kTileRows;
  const auto sampled =
      SearchScale({&tile, &zeros, &tile, &zeros, &tile, &zeros}, layer, gram, options, 2);
  ASSERT_TRUE(sampled.ok()) << sampled.status();
  const auto all =
      SearchScale({&tile, &zeros, &tile, &zeros, &tile, &zeros}, layer, gram, kScaleOptions, 2);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(sampled->losses, all->losses);
  const auto others =
      SearchScale({&zeros, &tile, &zeros, &tile, &zeros, &tile}, layer, gram, options, 2);
  ASSERT_TRUE(others.ok()) << others.status();
  EXPECT_EQ(others->loss, 0);
}

TEST(AwqScaleTest, PowersOfTwoWhereAsked) {
  const GoldenLayer layer;
  const Matrix weight = layer.weight(), gram = layer.gram();
  AwqScaleOptions options = kScaleOptions;
  options.powers_of_two = true;
  const auto scale = SearchScale({&weight}, layer, gram, options, 1);
  ASSERT_TRUE(scale.ok()) << scale.status();
  for (const float s : scale->scales) EXPECT_EQ(std::exp2(std::round(std::log2(s))), s);
  EXPECT_LT(scale->loss, 0.3 * scale->identity_loss);
}

TEST(AwqScaleTest, ScalesAreFiniteForInputsOfZero) {
  const GoldenLayer layer;
  ThreadPool threads(1);
  const Matrix weight(48, kCols), other = layer.weight();
  std::vector<float> mean(kCols);  // all 0
  for (const Matrix* linear : {&weight, &other}) {
    const Matrix* linears[] = {linear};
    for (const bool duo : {false, true}) {
      AwqScaleOptions options = kScaleOptions;
      options.duo_scaling = duo;
      const auto scale = SearchAwqScale(linears, layer.gram(), mean, options, threads);
      ASSERT_TRUE(scale.ok()) << scale.status();
      for (const float s : scale->scales) EXPECT_TRUE(std::isfinite(s) && s > 0) << s;
    }
    mean[0] = 1e30f;
  }
}

TEST(AwqScaleTest, RefusesWhatDoesNotFit) {
  const GoldenLayer layer;
  ThreadPool threads(1);
  const Matrix weight = layer.weight();
  Matrix gram = layer.gram();
  const auto status = [&](const std::vector<const Matrix*>& linears, std::vector<float> mean,
                          const AwqScaleOptions& options) {
    return SearchAwqScale(linears, gram, mean, options, threads).status();
  };
  const std::vector<float> mean = layer.mean_magnitude();
  EXPECT_THAT(std::string(status({}, mean, kScaleOptions).message()), HasSubstr("found none"));
  const Matrix narrow(4, 64);
  EXPECT_THAT(std::string(status({&narrow}, mean, kScaleOptions).message()),
              HasSubstr("found 64 columns, expected 128"));
  EXPECT_THAT(std::string(status({&weight}, {1, 2}, kScaleOptions).message()),
              HasSubstr("found 2 mean magnitudes"));
  std::vector<float> negative = mean;
  negative[9] = -1;
  EXPECT_THAT(std::string(status({&weight}, negative, kScaleOptions).message()),
              HasSubstr("mean magnitude of column 9: found -1"));
  EXPECT_THAT(std::string(status({&weight}, mean, {.group_size = 32, .grid = 0}).message()),
              HasSubstr("grid: found 0"));
  gram.at(2, 5) = std::numeric_limits<float>::infinity();
  EXPECT_EQ(ErrorOf(status({&weight}, mean, kScaleOptions)), Error::kValidationFailed);
}

TEST(AwqClipTest, LowersTheLossWhateverTheThreads) {
  const GoldenLayer layer;
  ThreadPool one(1);
  const auto clip = SearchAwqClip(layer.weight(), layer.gram(), kClipOptions, one);
  ASSERT_TRUE(clip.ok()) << clip.status();
  EXPECT_LT(clip->loss, 0.98 * clip->unclipped_loss);
  for (const size_t count : {2, 5}) {
    ThreadPool threads(count);
    const auto several = SearchAwqClip(layer.weight(), layer.gram(), kClipOptions, threads);
    ASSERT_TRUE(several.ok());
    EXPECT_EQ(several->limits.values, clip->limits.values);
    EXPECT_EQ(several->loss, clip->loss);
  }
}

// With a gram matrix of squares on the diagonal only, the loss of the groups is the whole.
TEST(AwqClipTest, TellsTheLossOfItsGroups) {
  const GoldenLayer layer;
  ThreadPool threads(1);
  Matrix gram = layer.gram();
  for (size_t i = 0; i < kCols; ++i) {
    for (size_t j = i + 1; j < kCols; ++j) {
      if (i / 32 != j / 32) gram.at(i, j) = 0;
    }
  }
  const auto clip = SearchAwqClip(layer.weight(), gram, kClipOptions, threads);
  ASSERT_TRUE(clip.ok());
  const auto linear = AwqRound(layer.weight(), *clip, kClipOptions, threads);
  ASSERT_TRUE(linear.ok());
  const double loss = LossOf(*linear, std::vector<float>(kCols, 1.0f), layer.weight(), gram);
  EXPECT_NEAR(clip->loss, loss, loss * 1e-4);
}

TEST(AwqClipTest, RefusesWhatDoesNotFit) {
  const GoldenLayer layer;
  ThreadPool threads(1);
  AwqClip clip;
  clip.limits = Matrix(48, 3);
  EXPECT_THAT(std::string(AwqRound(layer.weight(), clip, kClipOptions, threads).status().message()),
              HasSubstr("clip limits: found 48 x 3, expected 48 x 4"));
  EXPECT_THAT(std::string(SearchAwqClip(layer.weight(), layer.gram(),
                                        {.group_size = 32, .max_shrink = 2}, threads)
                              .status()
                              .message()),
              HasSubstr("clip search"));
}

// GPTQ in the scaled space: codes that an AWQ file holds, and less loss than clipping.
TEST(AwqTest, GptqInTheScaledSpaceIsBetterThanClipping) {
  const GoldenLayer layer;
  ThreadPool threads(1);
  const Matrix weight = layer.weight(), gram = layer.gram();
  const auto scale = SearchScale({&weight}, layer, gram, kScaleOptions, 1);
  ASSERT_TRUE(scale.ok());
  const Matrix scaled = ScaleColumns(weight, scale->scales);
  const Matrix scaled_gram = ScaleGram(gram, scale->scales);
  const auto clip = SearchAwqClip(scaled, scaled_gram, kClipOptions, threads);
  ASSERT_TRUE(clip.ok());
  const auto clipped = AwqRound(scaled, *clip, kClipOptions, threads);
  GptqOptions options = {.group_size = 32, .symmetric = false};
  options.awq_range = true;
  const auto gptq = Gptq(scaled, scaled_gram, options, threads);
  ASSERT_TRUE(clipped.ok() && gptq.ok());
  const double gptq_loss = LossOf(gptq->linear, scale->scales, weight, gram);
  EXPECT_LT(gptq_loss, 0.8 * LossOf(*clipped, scale->scales, weight, gram));
  // The loss is the same in both spaces.
  EXPECT_NEAR(gptq_loss / GramLoss(weight, gram, threads), gptq->relative_error,
              gptq->relative_error * 0.01);
}

}  // namespace
}  // namespace quantized
