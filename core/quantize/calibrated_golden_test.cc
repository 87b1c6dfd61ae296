// Against the vectors of tests/golden/data/calibrated.
#include <cmath>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/quantize/awq_clip.h"
#include "core/quantize/awq_scale.h"
#include "core/quantize/gptq.h"
#include "core/quantize/gram_loss.h"
#include "core/quantize/round_to_nearest.h"
#include "core/quantize/test_layer.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using testing::GoldenLayer;

constexpr double kTolerance = 0.005;

double Loss(const Matrix& weight, Matrix decoded, const Matrix& gram) {
  for (size_t i = 0; i < decoded.values.size(); ++i) decoded.values[i] -= weight.values[i];
  ThreadPool threads(1);
  return GramLoss(decoded, gram, threads);
}

// Loss within 0.5 %, 99.5 % of the codes; of the grids as many.
void ExpectAsRecorded(const GoldenLayer& layer, const std::string& name,
                      const QuantizedLinear& linear) {
  SCOPED_TRACE(name);
  const double recorded = layer.Values<double>(name + ".loss")[0];
  EXPECT_NEAR(Loss(layer.weight(), Decoded(linear), layer.gram()), recorded, recorded * kTolerance);
  const auto codes = layer.Values<uint8_t>(name + ".codes");
  const auto zeros = layer.Values<uint8_t>(name + ".zeros");
  const auto scales = layer.Halves(name + ".scales");
  ASSERT_EQ(linear.codes.size(), codes.size());
  ASSERT_EQ(linear.zeros.size(), zeros.size());
  size_t equal_codes = 0, equal_grids = 0;
  for (size_t i = 0; i < codes.size(); ++i) equal_codes += linear.codes[i] == codes[i] ? 1 : 0;
  for (size_t i = 0; i < zeros.size(); ++i) {
    // Two neighbouring f16 differ by less than 0.1 %.
    equal_grids += linear.zeros[i] == zeros[i] &&
                           std::fabs(linear.scales.values[i] - scales[i]) <= scales[i] * 0.001f
                       ? 1
                       : 0;
  }
  EXPECT_GE(equal_codes * 1000, codes.size() * 995);
  EXPECT_GE(equal_grids * 1000, zeros.size() * 989);  // 2 of 192 may differ
}

TEST(RoundToNearestGoldenTest, IsTheReferences) {
  const GoldenLayer layer;
  ThreadPool threads(2);
  for (const bool symmetric : {true, false}) {
    for (const RangeSearch search : {RangeSearch::kNone, RangeSearch::kPlain}) {
      const auto linear = RoundToNearest(
          layer.weight(),
          {.group_size = GoldenLayer::kGroupSize,
           .form = symmetric ? kernels::RangeForm::kSymmetric : kernels::RangeForm::kWithZero,
           .search = search},
          {}, threads);
      ASSERT_TRUE(linear.ok()) << linear.status();
      ExpectAsRecorded(layer,
                       std::string("rtn") + (search == RangeSearch::kNone ? "" : "_search") +
                           (symmetric ? "_sym" : "_asym"),
                       *linear);
    }
  }
}

struct GptqCase {
  const char* name;  // _sym or _asym follows
  ColumnOrder order;
  RangeSearch search;
};
constexpr GptqCase kGptqCases[] = {
    {"gptq_none", ColumnOrder::kNatural, RangeSearch::kNone},
    {"gptq_gar", ColumnOrder::kGroupAware, RangeSearch::kNone},
    {"gptq_desc", ColumnOrder::kActivation, RangeSearch::kNone},
    {"gptq_desc_static", ColumnOrder::kStaticActivation, RangeSearch::kNone},
    {"gptq_gar_searchH", ColumnOrder::kGroupAware, RangeSearch::kHessianDiagonal},
    {"gptq_gar_searchU", ColumnOrder::kGroupAware, RangeSearch::kInverseDiagonal},
    {"gptq_desc_static_searchU", ColumnOrder::kStaticActivation, RangeSearch::kInverseDiagonal},
};

GptqOptions OptionsOf(const GptqCase& golden, bool symmetric) {
  return {.group_size = GoldenLayer::kGroupSize,
          .symmetric = symmetric,
          .order = golden.order,
          .damping = golden.search == RangeSearch::kNone ? 0.05 : 0.01,
          .search = golden.search,
          .refine = {.passes = 0}};
}

// A column without input is 0 there and counts as 1 in H; here it keeps its weight. So the
// reference's view of it is put into the layer.
struct ReferenceLayer : GoldenLayer {
  ReferenceLayer() {
    constexpr size_t kDead = 50;
    EXPECT_EQ(gram.at(kDead, kDead), 0);
    gram.at(kDead, kDead) = 1;
    for (size_t row = 0; row < weight.rows; ++row) weight.at(row, kDead) = 0;
  }

  Matrix weight = GoldenLayer::weight(), gram = GoldenLayer::gram();
};

TEST(GptqGoldenTest, IsTheReferences) {
  const ReferenceLayer layer;
  ThreadPool threads(2);
  for (const GptqCase& golden : kGptqCases) {
    for (const bool symmetric : {true, false}) {
      const std::string name = std::string(golden.name) + (symmetric ? "_sym" : "_asym");
      const auto result = Gptq(layer.weight, layer.gram, OptionsOf(golden, symmetric), threads);
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_FALSE(result->fell_back_to_rounding);
      ExpectAsRecorded(layer, name, result->linear);
      if (golden.order == ColumnOrder::kActivation) {
        const auto group_of = layer.Values<uint32_t>(name + ".g_idx");
        EXPECT_EQ(result->linear.group_of, group_of);
      } else {
        EXPECT_TRUE(result->linear.group_of.empty());
      }
    }
  }
}

TEST(GptqGoldenTest, ThreeBitsAreTheReferences) {
  const ReferenceLayer layer;
  ThreadPool threads(1);
  GptqOptions options = OptionsOf(kGptqCases[1], /*symmetric=*/true);
  options.bits = 3;
  const auto result = Gptq(layer.weight, layer.gram, options, threads);
  ASSERT_TRUE(result.ok()) << result.status();
  ExpectAsRecorded(layer, "gptq_3bit_gar_sym", result->linear);
}

TEST(AwqGoldenTest, ScaleAndClipAreTheReferences) {
  const GoldenLayer layer;
  ThreadPool threads(2);
  const Matrix weight = layer.weight(), gram = layer.gram();
  const Matrix* linears[] = {&weight};
  const auto scale =
      SearchAwqScale(linears, gram, layer.mean_magnitude(),
                     {.group_size = GoldenLayer::kGroupSize, .awq_range = true}, threads);
  ASSERT_TRUE(scale.ok()) << scale.status();
  const auto losses = layer.Values<double>("awq.ratio_loss");
  ASSERT_EQ(scale->losses.size(), losses.size());
  for (size_t i = 0; i < losses.size(); ++i) {
    // The reference searches with scales that are not rounded to f16.
    EXPECT_NEAR(scale->losses[i], losses[i], losses[i] * 2 * kTolerance) << i;
  }
  EXPECT_EQ(scale->exponent, layer.Values<double>("awq.best_ratio")[0]);
  EXPECT_NEAR(scale->identity_loss, layer.Values<double>("awq.loss_rtn")[0],
              scale->identity_loss * kTolerance);
  const auto scales = layer.Values<float>("awq.best_scale");
  for (size_t i = 0; i < scales.size(); ++i) {
    EXPECT_NEAR(scale->scales[i], scales[i], scales[i] * 1e-4f) << i;
  }

  const AwqClipOptions options = {.group_size = GoldenLayer::kGroupSize, .awq_range = true};
  const Matrix scaled = ScaleColumns(weight, scale->scales);
  const auto clip = SearchAwqClip(scaled, ScaleGram(gram, scale->scales), options, threads);
  ASSERT_TRUE(clip.ok()) << clip.status();
  const auto limits = layer.Values<float>("awq.clip_max");
  size_t equal = 0;
  for (size_t i = 0; i < limits.size(); ++i) {
    equal += std::fabs(clip->limits.values[i] - limits[i]) <= limits[i] * 1e-4f ? 1 : 0;
  }
  EXPECT_GE(equal * 100, limits.size() * 95);  // near ties, decided by the same rounding

  const auto linear = AwqRound(scaled, *clip, options, threads);
  ASSERT_TRUE(linear.ok()) << linear.status();
  const auto codes = layer.Values<uint8_t>("awq.codes");
  size_t equal_codes = 0;
  for (size_t i = 0; i < codes.size(); ++i) equal_codes += linear->codes[i] == codes[i] ? 1 : 0;
  EXPECT_GE(equal_codes * 1000, codes.size() * 995);
  Matrix decoded = Decoded(*linear);
  for (size_t i = 0; i < decoded.values.size(); ++i) {
    decoded.values[i] /= scale->scales[i % decoded.cols];
  }
  const double recorded = layer.Values<double>("awq.loss_final")[0];
  EXPECT_NEAR(Loss(weight, decoded, gram), recorded, recorded * kTolerance);
}

}  // namespace
}  // namespace quantized
