#include "core/forward/model_comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/forward/output_head.h"
#include "core/forward/test_model.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

using testing::AlteredSource;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::HiddenOf;
using testing::OpenModel;
using testing::RecordingSink;
using testing::TestWindows;

absl::StatusOr<ModelComparison> Compare(const OpenModel& model, const TensorSource& source,
                                        const TensorSource& quantized,
                                        const std::vector<std::vector<uint32_t>>& windows,
                                        size_t thread_count = 2, std::stop_token stop = {}) {
  ThreadPool threads(thread_count);
  RecordingSink sink;
  JobContext context{std::move(stop), sink, threads};
  return CompareModels(model.config(), model.hf_config(), source, quantized, windows, {}, context);
}

// Each weight off by up to `amount` of itself.
AlteredSource Perturbed(const OpenModel& model, float amount) {
  AlteredSource source(model.source());
  source.alter = [amount](const std::string&, std::span<float> values) {
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] *= 1 + amount * static_cast<float>(static_cast<int>(i * 37 % 11) - 5) / 5;
    }
  };
  return source;
}

// [tokens, vocabulary] of all windows.
Matrix LogitsOf(const OpenModel& model, const TensorSource& source,
                const std::vector<std::vector<uint32_t>>& windows) {
  ThreadPool threads(1);
  RecordingSink sink;
  JobContext context{{}, sink, threads};
  auto walk = *LayerWalk::Start(model.config(), model.hf_config(), source, windows, {}, context);
  LayerVisitor nobody;
  for (uint32_t layer = 0; layer < model.config().geometry.layers; ++layer) {
    EXPECT_TRUE(walk->RunLayer(layer, source, nobody).ok());
  }
  const std::vector<float> hidden = HiddenOf(*walk);
  const auto head = OutputHead::Open(model.config(), source);
  EXPECT_TRUE(head.ok()) << head.status();
  return *head->Logits(windows.size() * windows[0].size(), hidden.data(), threads);
}

std::vector<double> LogSoftmax(const Matrix& logits, size_t row) {
  const float* x = logits.row(row);
  const double top = *std::max_element(x, x + logits.cols);
  double sum = 0;
  for (size_t i = 0; i < logits.cols; ++i) sum += std::exp(x[i] - top);
  std::vector<double> result(logits.cols);
  for (size_t i = 0; i < logits.cols; ++i) result[i] = x[i] - top - std::log(sum);
  return result;
}

TEST(ModelComparisonTest, AModelIsItself) {
  for (const std::string_view name : {"llama", "gemma2", "mixtral"}) {
    SCOPED_TRACE(std::string(name));
    const OpenModel model(name);
    const auto got = Compare(model, model.source(), model.source(), TestWindows(3, 20));
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->tokens, 57u);
    EXPECT_LT(std::fabs(got->kl_divergence), 1e-9);
    EXPECT_EQ(got->top1_agreement, 1.0);
    EXPECT_EQ(got->perplexity_ratio(), 1.0);
    EXPECT_EQ(got->ratio_standard_error, 0.0);
    EXPECT_LT(got->kl_percentiles.maximum, 1e-9);
    EXPECT_EQ(got->kl_histogram.below, 57u);
    EXPECT_GT(got->perplexity, 1.0);
  }
}

TEST(ModelComparisonTest, IsWhatTheLogitsSay) {
  const OpenModel model("llama");
  const AlteredSource other = Perturbed(model, 0.2f);
  // A window of more rows than are scored at once.
  const auto windows = TestWindows(2, 150);
  const auto got = Compare(model, model.source(), other, windows);
  ASSERT_TRUE(got.ok()) << got.status();
  const Matrix want = LogitsOf(model, model.source(), windows);
  const Matrix changed = LogitsOf(model, other, windows);
  double loss = 0, changed_loss = 0, kl = 0, agreed = 0;
  for (size_t window = 0; window < 2; ++window) {
    for (size_t position = 0; position + 1 < 150; ++position) {
      const std::vector<double> p = LogSoftmax(want, window * 150 + position);
      const std::vector<double> q = LogSoftmax(changed, window * 150 + position);
      const uint32_t next = windows[window][position + 1];
      loss -= p[next] / 298;
      changed_loss -= q[next] / 298;
      for (size_t i = 0; i < p.size(); ++i) kl += std::exp(p[i]) * (p[i] - q[i]) / 298;
      if (std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin()) {
        agreed += 1.0 / 298;
      }
    }
  }
  EXPECT_EQ(got->tokens, 298u);
  EXPECT_NEAR(got->source_perplexity, std::exp(loss), 1e-4 * std::exp(loss));
  EXPECT_NEAR(got->perplexity, std::exp(changed_loss), 1e-4 * std::exp(changed_loss));
  EXPECT_NEAR(got->kl_divergence, kl, 1e-4 * kl);
  EXPECT_NEAR(got->top1_agreement, agreed, 1e-9);
  EXPECT_GT(kl, 1e-3);
  EXPECT_LT(agreed, 1);
}

TEST(ModelComparisonTest, SpreadsAreThoseOfTheTokens) {
  const OpenModel model("llama");
  const AlteredSource other = Perturbed(model, 0.2f);
  const auto windows = TestWindows(3, 150);
  const auto got = Compare(model, model.source(), other, windows);
  ASSERT_TRUE(got.ok()) << got.status();
  const Matrix want = LogitsOf(model, model.source(), windows);
  const Matrix changed = LogitsOf(model, other, windows);
  std::vector<double> divergences, log_ratios;
  double mean = 0, log_ratio = 0;
  for (size_t window = 0; window < 3; ++window) {
    double window_kl = 0, window_log_ratio = 0;
    for (size_t position = 0; position + 1 < 150; ++position) {
      const std::vector<double> p = LogSoftmax(want, window * 150 + position);
      const std::vector<double> q = LogSoftmax(changed, window * 150 + position);
      const uint32_t next = windows[window][position + 1];
      double kl = 0;
      for (size_t i = 0; i < p.size(); ++i) kl += std::exp(p[i]) * (p[i] - q[i]);
      divergences.push_back(kl);
      log_ratios.push_back(p[next] - q[next]);
      window_kl += kl / 149;
      window_log_ratio += (p[next] - q[next]) / 149;
    }
    ASSERT_EQ(got->windows.size(), 3u);
    EXPECT_NEAR(got->windows[window].kl_divergence, window_kl, 1e-4 * window_kl);
    EXPECT_NEAR(got->windows[window].perplexity_ratio, std::exp(window_log_ratio), 1e-4);
    mean += window_kl / 3;
    log_ratio += window_log_ratio / 3;
  }
  const auto standard_error = [](const std::vector<double>& values, double of) {
    double squares = 0;
    for (const double value : values) squares += (value - of) * (value - of);
    return std::sqrt(squares / 446 / 447);
  };
  EXPECT_NEAR(got->kl_standard_error, standard_error(divergences, mean), 1e-5);
  EXPECT_NEAR(got->ratio_standard_error,
              std::exp(log_ratio) * standard_error(log_ratios, log_ratio), 1e-5);

  // Ranks 224, 403, 443, 447 and 447 of 447.
  std::ranges::sort(divergences);
  const ModelComparison::Percentiles& percentiles = got->kl_percentiles;
  EXPECT_NEAR(percentiles.median, divergences[223], 1e-5);
  EXPECT_NEAR(percentiles.p90, divergences[402], 1e-5);
  EXPECT_NEAR(percentiles.p99, divergences[442], 1e-5);
  EXPECT_NEAR(percentiles.p99_9, divergences[446], 1e-5);
  EXPECT_EQ(percentiles.maximum, percentiles.p99_9);

  LogHistogram histogram;
  for (const double divergence : divergences) histogram.Add(divergence);
  uint64_t counted = got->kl_histogram.below + got->kl_histogram.above;
  for (size_t bin = 0; bin < LogHistogram::kBins; ++bin) {
    counted += got->kl_histogram.bins[bin];
    EXPECT_NEAR(got->kl_histogram.bins[bin], histogram.bins[bin], 1) << "one may be at an edge";
  }
  EXPECT_EQ(counted, 447u);
}

TEST(ModelComparisonTest, HistogramsHaveExactEdges) {
  LogHistogram histogram;
  EXPECT_DOUBLE_EQ(LogHistogram::Edge(0), 1e-7);
  EXPECT_DOUBLE_EQ(LogHistogram::Edge(5), 1e-6);
  EXPECT_DOUBLE_EQ(LogHistogram::Edge(LogHistogram::kBins), 100);
  for (size_t bin = 0; bin < LogHistogram::kBins; ++bin) {
    const double edge = LogHistogram::Edge(bin);
    histogram.Add(edge);
    histogram.Add(std::nextafter(LogHistogram::Edge(bin + 1), 0.0));
    EXPECT_EQ(histogram.bins[bin], 2u) << bin;
  }
  histogram.Add(0);
  histogram.Add(std::nextafter(LogHistogram::Edge(0), 0.0));
  histogram.Add(100);
  histogram.Add(1e9);
  EXPECT_EQ(histogram.below, 2u);
  EXPECT_EQ(histogram.above, 2u);
}

// A source of fewer tokens than another.
class CutSource : public TensorSource {
 public:
  CutSource(const TensorSource& source, std::string_view name, uint64_t rows)
      : source_(source), name_(name), cut_(*source.Find(name)) {
    cut_.shape[0] = rows;
  }
  const Tensor* Find(std::string_view name) const override {
    return name == name_ ? &cut_ : source_.Find(name);
  }
  absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                        float* out) const override {
    return source_.ReadRows(&tensor == &cut_ ? *source_.Find(name_) : tensor, first, count, out);
  }

 private:
  const TensorSource& source_;
  const std::string name_;
  Tensor cut_;
};

TEST(ModelComparisonTest, OfACutVocabularyTheCommonTokensCount) {
  const OpenModel model("gemma3");
  const AlteredSource other = Perturbed(model, 0.1f);
  const CutSource cut(other, "embed_tokens.weight", 90);
  const CutSource cut_source(model.source(), "embed_tokens.weight", 90);
  auto windows = TestWindows(2, 20);
  const auto refused = Compare(model, model.source(), cut, windows);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(ErrorOf(refused.status()), Error::kValidationFailed);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("expected less than the 90 tokens that both models have"));
  for (auto& window : windows) {
    for (uint32_t& id : window) id %= 90;
  }
  const auto want = Compare(model, cut_source, cut, windows);
  ASSERT_TRUE(want.ok()) << want.status();
  for (const auto& got :
       {Compare(model, model.source(), cut, windows), Compare(model, cut_source, other, windows)}) {
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_NEAR(got->kl_divergence, want->kl_divergence, 1e-6 * want->kl_divergence);
    EXPECT_NEAR(got->perplexity, want->perplexity, 1e-6 * want->perplexity);
  }
}

TEST(ModelComparisonTest, TellsTheLayersOfBothModels) {
  const OpenModel model("llama");
  ThreadPool threads(2);
  RecordingSink sink;
  JobContext context{{}, sink, threads};
  ASSERT_TRUE(CompareModels(model.config(), model.hf_config(), model.source(), model.source(),
                            TestWindows(1, 4), {}, context)
                  .ok());
  std::vector<uint64_t> done;
  for (const RecordingSink::Progress& progress : sink.progress) {
    EXPECT_EQ(progress.total, 4u);
    EXPECT_EQ(progress.unit, "layers");
    done.push_back(progress.done);
  }
  EXPECT_THAT(done, ElementsAre(1, 2, 3, 4));
}

TEST(ModelComparisonTest, MoreChangeIsMoreDivergence) {
  const OpenModel model("qwen3");
  const auto windows = TestWindows(3, 20);
  double last = 0;
  for (const float amount : {0.001f, 0.01f, 0.1f}) {
    const auto got = Compare(model, model.source(), Perturbed(model, amount), windows);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_GT(got->kl_divergence, 4 * last);
    last = got->kl_divergence;
  }
  EXPECT_GT(last, 0);
}

TEST(ModelComparisonTest, ThreadsShowNowhere) {
  const OpenModel model("gemma3");
  const AlteredSource other = Perturbed(model, 0.1f);
  const auto windows = TestWindows(6, 20);
  const auto want = Compare(model, model.source(), other, windows, 1);
  ASSERT_TRUE(want.ok()) << want.status();
  for (const size_t threads : {2, 5}) {
    const auto got = Compare(model, model.source(), other, windows, threads);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->kl_divergence, want->kl_divergence);
    EXPECT_EQ(got->perplexity, want->perplexity);
    EXPECT_EQ(got->source_perplexity, want->source_perplexity);
    EXPECT_EQ(got->top1_agreement, want->top1_agreement);
    EXPECT_EQ(got->kl_standard_error, want->kl_standard_error);
    EXPECT_EQ(got->kl_percentiles.maximum, want->kl_percentiles.maximum);
    EXPECT_EQ(got->kl_histogram.bins, want->kl_histogram.bins);
  }
}

TEST(ModelComparisonTest, LogitsThatAreNotFiniteAreRefused) {
  const OpenModel model("llama");
  AlteredSource broken(model.source());
  broken.alter = [](const std::string& name, std::span<float> values) {
    if (name == "lm_head.weight") values[5] = NAN;
  };
  const auto got = Compare(model, model.source(), broken, TestWindows(1, 4));
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(ErrorOf(got.status()), Error::kValidationFailed) << got.status();
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("the quantized model gives"));
  const auto of_source = Compare(model, broken, model.source(), TestWindows(1, 4));
  ASSERT_FALSE(of_source.ok());
  EXPECT_THAT(std::string(of_source.status().message()), HasSubstr("the model gives"));
}

TEST(ModelComparisonTest, AHeadOfAnotherShapeIsRefused) {
  const OpenModel model("llama");
  AlteredSource broken(model.source());
  broken.misshapen = "lm_head.weight";
  const auto got = Compare(model, model.source(), broken, TestWindows(1, 4));
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(ErrorOf(got.status()), Error::kValidationFailed) << got.status();
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("output head"));
}

TEST(CheckPredictableTest, WantsIdsOfTheModelAndTwoInAWindow) {
  const OpenModel model("llama");
  auto windows = TestWindows(2, 4);
  EXPECT_TRUE(CheckPredictable(model.config(), model.source(), windows).ok());
  windows[1][3] = 1 << 20;
  const absl::Status beyond = CheckPredictable(model.config(), model.source(), windows);
  EXPECT_EQ(ErrorOf(beyond), Error::kValidationFailed) << beyond;
  EXPECT_THAT(std::string(beyond.message()), HasSubstr("token id 1048576: expected less than"));
  const absl::Status alone = CheckPredictable(model.config(), model.source(), TestWindows(2, 1));
  EXPECT_EQ(ErrorOf(alone), Error::kInvalidArgument) << alone;
}

TEST(ModelComparisonTest, StopsWhenAsked) {
  const OpenModel model("llama");
  std::stop_source stop;
  stop.request_stop();
  const auto got =
      Compare(model, model.source(), model.source(), TestWindows(1, 4), 2, stop.get_token());
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(ErrorOf(got.status()), Error::kCancelled);
}

}  // namespace
}  // namespace quantized
