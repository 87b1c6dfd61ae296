#include "core/forward/layer_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <stop_token>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/error.h"
#include "core/forward/layer_steps.h"
#include "core/forward/test_model.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

using ::testing::AllOf;
using testing::AlteredSource;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::HiddenOf;
using testing::kFamilyModels;
using testing::OpenModel;
using testing::RecordingSink;
using testing::TestWindows;

// Layer, site, expert.
using Place = std::tuple<uint32_t, Site, uint32_t>;

// Remembers what it is shown; changes nothing, whatever it says.
class Recorder : public LayerVisitor {
 public:
  StatisticsKind kind = StatisticsKind::kNone;
  bool changes = false, observes = false;
  std::map<Place, InputStatistics> seen, observed;
  std::map<Place, std::vector<std::string>> modules;
  std::vector<uint32_t> done;

  StatisticsKind Wants(Site) const override { return kind; }
  bool ChangesWeights() const override { return changes; }
  bool ObservesBlocks() const override { return observes; }
  absl::Status OnAttention(uint32_t layer, const InputStatistics& input,
                           const InputStatistics& output, AttentionWeights&) override {
    observed[{layer, Site::kAttentionInput, 0}] = input;
    observed[{layer, Site::kAttentionOutput, 0}] = output;
    return absl::OkStatus();
  }
  absl::Status OnExpert(uint32_t layer, uint32_t expert, const InputStatistics& input,
                        const InputStatistics& down, FeedForwardWeights&, ExpertWeights&) override {
    observed[{layer, Site::kFeedForwardInput, expert}] = input;
    observed[{layer, Site::kDownInput, expert}] = down;
    return absl::OkStatus();
  }
  absl::Status OnInputs(const SiteInputs& inputs, std::span<Linear* const> linears) override {
    const Place place = {inputs.layer, inputs.site, inputs.expert};
    EXPECT_FALSE(seen.contains(place));
    seen[place] = inputs.statistics;
    for (const Linear* linear : linears) modules[place].push_back(linear->module);
    return absl::OkStatus();
  }
  absl::Status OnLayerDone(uint32_t layer, const AttentionWeights&,
                           const FeedForwardWeights&) override {
    done.push_back(layer);
    return absl::OkStatus();
  }
};

template <class T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

void ExpectSame(const std::map<Place, InputStatistics>& got,
                const std::map<Place, InputStatistics>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [place, statistics] : want) {
    SCOPED_TRACE(::testing::Message()
                 << "layer " << std::get<0>(place) << " site "
                 << static_cast<int>(std::get<1>(place)) << " expert " << std::get<2>(place));
    const auto found = got.find(place);
    ASSERT_NE(found, got.end());
    EXPECT_EQ(found->second.tokens, statistics.tokens);
    EXPECT_TRUE(SameBits(found->second.gram.values, statistics.gram.values));
    EXPECT_TRUE(SameBits(found->second.squares, statistics.squares));
    EXPECT_TRUE(SameBits(found->second.magnitudes, statistics.magnitudes));
  }
}

struct How {
  size_t threads = 2;
  WalkOptions options = {};
};

// All layers of `model`: what leaves the last one.
std::vector<float> RunThrough(const OpenModel& model,
                              const std::vector<std::vector<uint32_t>>& windows,
                              LayerVisitor& visitor, const How& how = {}) {
  ThreadPool threads(how.threads);
  RecordingSink sink;
  JobContext context{{}, sink, threads};
  const auto walk = LayerWalk::Start(model.config(), model.hf_config(), model.source(), windows,
                                     how.options, context);
  EXPECT_TRUE(walk.ok()) << walk.status();
  if (!walk.ok()) return {};
  for (uint32_t layer = 0; layer < model.config().geometry.layers; ++layer) {
    const absl::Status status = (*walk)->RunLayer(layer, model.source(), visitor);
    EXPECT_TRUE(status.ok()) << status;
  }
  return HiddenOf(**walk);
}

class LayerWalkTest : public ::testing::TestWithParam<std::string_view> {
 protected:
  const OpenModel model_{GetParam()};
  // More windows than a batch has slots.
  const std::vector<std::vector<uint32_t>> windows_ = TestWindows(7, 24);
};

TEST_P(LayerWalkTest, ThreadsAndSpillingShowNowhere) {
  for (const bool changes : {false, true}) {
    SCOPED_TRACE(changes);
    Recorder want;
    want.kind = StatisticsKind::kGram;
    want.changes = changes;
    want.observes = changes;
    const std::vector<float> hidden = RunThrough(model_, windows_, want, {.threads = 1});
    testing::TempDir dir;
    const WalkOptions spilled = {.memory_budget_bytes = 0, .spill_folder = dir.path()};
    for (const How& how : {How{2}, How{5}, How{1, spilled}, How{5, spilled}}) {
      SCOPED_TRACE(::testing::Message()
                   << how.threads << " threads, " << how.options.memory_budget_bytes << " bytes");
      Recorder got;
      got.kind = want.kind;
      got.changes = got.observes = changes;
      EXPECT_TRUE(SameBits(RunThrough(model_, windows_, got, how), hidden));
      ExpectSame(got.seen, want.seen);
      ExpectSame(got.observed, want.observed);
    }
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  }
}

TEST_P(LayerWalkTest, AVisitorThatChangesNothingLeavesTheOutputs) {
  LayerVisitor nobody;
  const std::vector<float> hidden = RunThrough(model_, windows_, nobody);
  for (const float value : hidden) ASSERT_TRUE(std::isfinite(value));
  Recorder plain;
  plain.kind = StatisticsKind::kGram;
  EXPECT_TRUE(SameBits(RunThrough(model_, windows_, plain), hidden));
  Recorder changing;
  changing.kind = StatisticsKind::kGram;
  changing.changes = changing.observes = true;
  EXPECT_TRUE(SameBits(RunThrough(model_, windows_, changing), hidden));
  ExpectSame(changing.seen, plain.seen);
  ExpectSame(changing.observed, plain.seen);
  EXPECT_EQ(changing.modules, plain.modules);
  std::vector<uint32_t> layers(model_.config().geometry.layers);
  std::iota(layers.begin(), layers.end(), 0);
  EXPECT_EQ(changing.done, layers);
}

TEST_P(LayerWalkTest, EachLinearIsShownOnce) {
  Recorder visitor;
  RunThrough(model_, windows_, visitor);
  std::map<std::string, int> times;
  for (const auto& [place, names] : visitor.modules) {
    for (const std::string& name : names) ++times[name];
  }
  size_t linears = 0;
  for (const HfWeights::Tensor& tensor : model_.source().weights().tensors()) {
    const std::string& name = tensor.info->name;
    const bool is_linear =
        tensor.info->shape.size() == 2 && name.find(".layers.") != std::string::npos &&
        !name.ends_with("mlp.gate.weight") && !name.ends_with("block_sparse_moe.gate.weight");
    if (!is_linear) continue;
    ++linears;
    EXPECT_EQ(times[name.substr(0, name.rfind('.'))], 1) << name;
  }
  EXPECT_EQ(times.size(), linears);
}

// The first layer's statistics, from the steps of core/forward/layer_steps.h in one go and double.
TEST_P(LayerWalkTest, StatisticsAreOfTheInputsOfLinears) {
  Recorder visitor;
  visitor.kind = StatisticsKind::kGram;
  RunThrough(model_, windows_, visitor);

  const ForwardConfig& config = model_.config();
  const size_t hidden = config.geometry.hidden, length = windows_[0].size();
  ThreadPool threads(1);
  RecordingSink sink;
  JobContext context{{}, sink, threads};
  const auto walk =
      LayerWalk::Start(config, model_.hf_config(), model_.source(), windows_, {}, context);
  ASSERT_TRUE(walk.ok()) << walk.status();
  std::vector<float> x = HiddenOf(**walk);
  const size_t tokens = x.size() / hidden;
  const auto attention = LoadAttention(config, model_.source(), 0);
  ASSERT_TRUE(attention.ok()) << attention.status();
  const auto rotation =
      MakeRotaryTable(model_.hf_config(), config.geometry, config.layers[0].local_rotation,
                      static_cast<uint32_t>(length));
  ASSERT_TRUE(rotation.ok()) << rotation.status();

  std::map<std::pair<Site, uint32_t>, std::vector<float>> inputs;
  std::vector<float>& h = inputs[{Site::kAttentionInput, 0}];
  std::vector<float>& a = inputs[{Site::kAttentionOutput, 0}];
  h.resize(x.size());
  a.resize(tokens * config.query_size());
  ApplyNorm(config, attention->input_norm, tokens, x.data(), h.data());
  for (size_t window = 0; window < windows_.size(); ++window) {
    Attend(config, *attention, 0, *rotation, length, h.data() + window * length * hidden,
           a.data() + window * length * config.query_size());
  }
  std::vector<float> y(x.size());
  ProjectOutput(config, attention->output, attention->output_norm, tokens, a.data(), y.data());
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  const auto shared = LoadFeedForward(config, model_.source(), 0);
  ASSERT_TRUE(shared.ok()) << shared.status();
  std::vector<float> f(x.size());
  ApplyNorm(config, shared->input_norm, tokens, x.data(), f.data());
  const std::vector<Route> routes =
      shared->is_mixture() ? RouteTokens(config, *shared, tokens, f.data()) : std::vector<Route>();
  for (uint32_t expert = 0; expert < shared->experts; ++expert) {
    std::vector<float>& in = inputs[{Site::kFeedForwardInput, expert}];
    for (size_t token = 0; token < tokens; ++token) {
      bool goes = !shared->is_mixture();
      for (size_t i = 0; i < config.experts_per_token && !goes; ++i) {
        goes = routes[token * config.experts_per_token + i].expert == expert;
      }
      const auto row = f.begin() + static_cast<ptrdiff_t>(token * hidden);
      if (goes) in.insert(in.end(), row, row + static_cast<ptrdiff_t>(hidden));
    }
    const auto weights = LoadExpert(config, model_.source(), 0, expert);
    ASSERT_TRUE(weights.ok()) << weights.status();
    const size_t rows = in.size() / hidden;
    std::vector<float>& down = inputs[{Site::kDownInput, expert}];
    down.resize(rows * shared->width);
    GateAndUp(config, *weights, rows, in.data(), down.data());
  }

  for (const auto& [where, values] : inputs) {
    SCOPED_TRACE(::testing::Message()
                 << "site " << static_cast<int>(where.first) << " expert " << where.second);
    const InputStatistics& got = visitor.seen.at({0, where.first, where.second});
    const size_t width = got.gram.rows;
    ASSERT_EQ(got.tokens * width, values.size());
    ASSERT_GT(got.tokens, 0u);
    std::vector<double> gram(width * width);
    for (size_t row = 0; row < got.tokens; ++row) {
      const float* v = values.data() + row * width;
      for (size_t i = 0; i < width; ++i) {
        for (size_t j = 0; j < width; ++j) {
          gram[i * width + j] += double{v[i]} * v[j] / static_cast<double>(got.tokens);
        }
      }
    }
    double worst = 0;
    for (size_t i = 0; i < width; ++i) {
      for (size_t j = 0; j < width; ++j) {
        const double size = std::sqrt(gram[i * width + i] * gram[j * width + j]);
        worst = std::max(worst, std::fabs(got.gram.at(i, j) - gram[i * width + j]) / size);
      }
    }
    EXPECT_LT(worst, 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(, LayerWalkTest, ::testing::ValuesIn(kFamilyModels),
                         testing::NameOfFamilyModel);

TEST(LayerWalkObserverTest, IsShownASampleOfWindows) {
  const OpenModel model("llama");
  const std::vector<std::vector<uint32_t>> windows = TestWindows(7, 24);
  Recorder got;
  got.observes = true;
  RunThrough(model, windows, got, {.options = {.observed_tokens = 30}});
  Recorder want;
  want.observes = true;
  RunThrough(model, {windows[0], windows[3]}, want);
  EXPECT_EQ(got.observed.at({0, Site::kDownInput, 0}).tokens, 48u);
  ExpectSame(got.observed, want.observed);
}

TEST(LayerWalkMixtureTest, StatisticsOfAllTokensWhereAsked) {
  for (const std::string_view name : {"mixtral", "qwen3-moe"}) {
    SCOPED_TRACE(std::string(name));
    const OpenModel model(name);
    const auto windows = TestWindows(5, 16);
    Recorder routed, all, all_changing;
    routed.kind = all.kind = all_changing.kind = StatisticsKind::kGram;
    all_changing.changes = all_changing.observes = true;
    const std::vector<float> hidden = RunThrough(model, windows, routed);
    const How how = {.options = {.all_tokens_to_experts = true}};
    EXPECT_TRUE(SameBits(RunThrough(model, windows, all, how), hidden)) << "outputs are routed";
    EXPECT_TRUE(SameBits(RunThrough(model, windows, all_changing, how), hidden));
    ExpectSame(all_changing.seen, all.seen);
    ExpectSame(all_changing.observed, all.seen);
    for (uint32_t layer = 0; layer < 2; ++layer) {
      uint64_t taken = 0;
      for (uint32_t expert = 0; expert < 4; ++expert) {
        for (const Site site : {Site::kFeedForwardInput, Site::kDownInput}) {
          EXPECT_EQ(all.seen.at({layer, site, expert}).tokens, 80u);
        }
        const uint64_t tokens = routed.seen.at({layer, Site::kDownInput, expert}).tokens;
        EXPECT_EQ(routed.seen.at({layer, Site::kFeedForwardInput, expert}).tokens, tokens);
        EXPECT_LT(tokens, 80u);
        taken += tokens;
      }
      EXPECT_EQ(taken, 80u * model.config().experts_per_token);
      // What enters any expert is the same where all tokens do.
      EXPECT_TRUE(SameBits(all.seen.at({layer, Site::kFeedForwardInput, 0}).gram.values,
                           all.seen.at({layer, Site::kFeedForwardInput, 3}).gram.values));
    }
  }
}

TEST(LayerWalkErrorsTest, AnIdBeyondTheVocabularyIsRefused) {
  const OpenModel model("llama");
  auto windows = TestWindows(2, 4);
  windows[1][2] = 96;
  ThreadPool threads(2);
  RecordingSink sink;
  JobContext context{{}, sink, threads};
  const auto walk =
      LayerWalk::Start(model.config(), model.hf_config(), model.source(), windows, {}, context);
  ASSERT_FALSE(walk.ok());
  EXPECT_EQ(ErrorOf(walk.status()), Error::kValidationFailed) << walk.status();
  EXPECT_THAT(std::string(walk.status().message()),
              AllOf(HasSubstr("token id 96"), HasSubstr("96 rows")));
}

TEST(LayerWalkErrorsTest, AMissingTensorIsNamed) {
  const OpenModel model("mixtral");
  const auto windows = TestWindows(2, 4);
  ThreadPool threads(2);
  RecordingSink sink;
  JobContext context{{}, sink, threads};
  AlteredSource source(model.source());
  source.hidden = "embed_tokens.weight";
  const auto without =
      LayerWalk::Start(model.config(), model.hf_config(), source, windows, {}, context);
  ASSERT_FALSE(without.ok());
  EXPECT_EQ(ErrorOf(without.status()), Error::kValidationFailed);
  EXPECT_THAT(std::string(without.status().message()), HasSubstr("embed_tokens.weight"));

  source.hidden = "layers.1.block_sparse_moe.experts.2.w2.weight";
  const auto walk =
      LayerWalk::Start(model.config(), model.hf_config(), source, windows, {}, context);
  ASSERT_TRUE(walk.ok()) << walk.status();
  LayerVisitor nobody;
  EXPECT_TRUE((*walk)->RunLayer(0, source, nobody).ok());
  const absl::Status status = (*walk)->RunLayer(1, source, nobody);
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tensor " + source.hidden));
}

TEST(LayerWalkErrorsTest, StopsWhenAsked) {
  const OpenModel model("llama");
  const auto windows = TestWindows(2, 4);
  ThreadPool threads(2);
  RecordingSink sink;
  std::stop_source stop;
  JobContext context{stop.get_token(), sink, threads};
  const auto walk =
      LayerWalk::Start(model.config(), model.hf_config(), model.source(), windows, {}, context);
  ASSERT_TRUE(walk.ok()) << walk.status();
  // In the middle of a layer: the visitor asks at the first site.
  class Stopper : public LayerVisitor {
   public:
    explicit Stopper(std::stop_source& stop) : stop_(stop) {}
    absl::Status OnInputs(const SiteInputs& inputs, std::span<Linear* const>) override {
      sites.push_back(inputs.site);
      if (inputs.site == Site::kAttentionOutput) stop_.request_stop();
      return absl::OkStatus();
    }
    std::vector<Site> sites;

   private:
    std::stop_source& stop_;
  };
  Stopper stopper(stop);
  const absl::Status status = (*walk)->RunLayer(0, model.source(), stopper);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(ErrorOf(status), Error::kCancelled) << status;
  EXPECT_THAT(stopper.sites, ElementsAre(Site::kAttentionInput, Site::kAttentionOutput));
}

TEST(LayerWalkErrorsTest, AVisitorsErrorEndsTheLayer) {
  class Refuser : public LayerVisitor {
   public:
    absl::Status OnInputs(const SiteInputs& inputs, std::span<Linear* const>) override {
      return inputs.site == Site::kDownInput ? MakeError(Error::kDiskFull, "no room")
                                             : absl::OkStatus();
    }
  };
  const OpenModel model("gemma2");
  const auto windows = TestWindows(2, 4);
  ThreadPool threads(2);
  RecordingSink sink;
  JobContext context{{}, sink, threads};
  const auto walk =
      LayerWalk::Start(model.config(), model.hf_config(), model.source(), windows, {}, context);
  ASSERT_TRUE(walk.ok()) << walk.status();
  Refuser refuser;
  EXPECT_EQ(ErrorOf((*walk)->RunLayer(0, model.source(), refuser)), Error::kDiskFull);
}

}  // namespace
}  // namespace quantized
