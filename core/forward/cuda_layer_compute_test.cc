// Walks on a device, with the stand-in for the CUDA module (tests/support/
// fake_forward_cuda_module.cc): the processor's kernels behind the module's table, so all but the
// device itself is tested here.
#include "core/forward/cuda_layer_compute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/error.h"
#include "core/forward/layer_walk.h"
#include "core/forward/test_model.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
using testing::HiddenOf;
using testing::kFamilyModels;
using testing::OpenModel;
using testing::RecordingSink;
using testing::TestWindows;

// Of the largest value, or of the root of both diagonal elements of a Gram matrix. Products are
// summed in another order, so this is rounding, grown over the layers; measured: 6e-7.
constexpr double kTolerance = 1e-5;

constexpr size_t kLength = 24;

using Place = std::tuple<uint32_t, Site, uint32_t>;  // layer, site, expert

// Remembers statistics. Where it changes weights, each site's by its inputs, so that a device that
// kept older weights would be found out.
class Changer : public LayerVisitor {
 public:
  explicit Changer(StatisticsKind kind, bool changes) : kind_(kind), changes_(changes) {}
  std::map<Place, InputStatistics> seen, observed;

  StatisticsKind Wants(Site) const override { return kind_; }
  bool ChangesWeights() const override { return changes_; }
  bool ObservesBlocks() const override { return changes_; }
  absl::Status OnAttention(uint32_t layer, const InputStatistics& input,
                           const InputStatistics& output, AttentionWeights& weights) override {
    observed[{layer, Site::kAttentionInput, 0}] = input;
    observed[{layer, Site::kAttentionOutput, 0}] = output;
    Move(weights.input_norm, weights.qkv);
    return absl::OkStatus();
  }
  absl::Status OnExpert(uint32_t layer, uint32_t expert, const InputStatistics& input,
                        const InputStatistics& down, FeedForwardWeights& shared,
                        ExpertWeights& weights) override {
    observed[{layer, Site::kFeedForwardInput, expert}] = input;
    observed[{layer, Site::kDownInput, expert}] = down;
    if (!shared.is_mixture()) Move(shared.input_norm, weights.gate_up);
    return absl::OkStatus();
  }
  absl::Status OnInputs(const SiteInputs& inputs, std::span<Linear* const> linears) override {
    seen[{inputs.layer, inputs.site, inputs.expert}] = inputs.statistics;
    for (Linear* linear : linears) {
      for (size_t i = 0; i < linear->weight.values.size() && changes_; ++i) {
        linear->weight.values[i] *= 1 + 0.01f * static_cast<float>(i % 7);
      }
    }
    return absl::OkStatus();
  }

 private:
  // As AWQ does: what a column of the norm gains, the linears lose. By powers of two, so that
  // nothing is rounded.
  static void Move(Norm& norm, std::vector<Linear>& linears) {
    for (size_t col = 0; col < norm.factors.size(); ++col) {
      const float scale = col % 3 == 0 ? 2.0f : 0.5f;
      norm.factors[col] *= scale;
      for (Linear& linear : linears) {
        for (size_t row = 0; row < linear.weight.rows; ++row) linear.weight.at(row, col) /= scale;
      }
    }
  }

  const StatisticsKind kind_;
  const bool changes_;
};

class CudaLayerComputeTest : public ::testing::Test {
 protected:
  // Of this process: settings of one test are gone in the next.
  void TearDown() override {
    for (const std::string& name : set_) unsetenv(name.c_str());
  }
  void Set(const std::string& name, const std::string& value) {
    setenv(name.c_str(), value.c_str(), 1);
    set_.push_back(name);
  }

  static kernels::ForwardCudaModule Module() {
    std::string why_not;
    const auto module = kernels::ForwardCudaModule::OpenFile(
        testing::BinDir() / "libfake_forward_cuda_module.so", why_not);
    CHECK(module.has_value());
    return *module;
  }
  static absl::StatusOr<CudaCompute> Open(const OpenModel& model,
                                          StatisticsKind most = StatisticsKind::kGram) {
    return OpenCudaCompute(Module(), 1, model.config(), kLength, most);
  }

  // What leaves the last layer. `compute` null: on the processor.
  static absl::StatusOr<std::vector<float>> Run(const OpenModel& model, LayerCompute* compute,
                                                LayerVisitor& visitor, bool all_tokens = false,
                                                size_t threads = 3) {
    ThreadPool pool(threads);
    RecordingSink sink;
    JobContext context{{}, sink, pool};
    const WalkOptions options = {.all_tokens_to_experts = all_tokens, .compute = compute};
    // More windows than a batch has slots.
    const auto windows = TestWindows(7, kLength);
    const auto walk = LayerWalk::Start(model.config(), model.hf_config(), model.source(), windows,
                                       options, context);
    if (!walk.ok()) return walk.status();
    for (uint32_t layer = 0; layer < model.config().geometry.layers; ++layer) {
      const absl::Status status = (*walk)->RunLayer(layer, model.source(), visitor);
      if (!status.ok()) return status;
    }
    return HiddenOf(**walk);
  }

  std::vector<std::string> set_;
};

double LargestDifference(const std::vector<float>& got, const std::vector<float>& want) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(got[i])) return INFINITY;
    difference = std::max(difference, std::fabs(double{got[i]} - want[i]));
    size = std::max(size, std::fabs(double{want[i]}));
  }
  return difference / size;
}

double LargestDifference(const InputStatistics& got, const InputStatistics& want) {
  double difference = 0;
  const auto see = [&](double a, double b, double size) {
    if (size == 0) size = 1;  // an input that is always 0
    difference = std::max(difference, std::isfinite(a) ? std::fabs(a - b) / size : INFINITY);
  };
  const size_t width = want.squares.size();
  for (size_t i = 0; i < width; ++i) {
    see(got.squares[i], want.squares[i], want.squares[i]);
    if (want.gram.empty()) continue;
    see(got.magnitudes[i], want.magnitudes[i], want.magnitudes[i]);
    for (size_t j = 0; j < width; ++j) {
      see(got.gram.at(i, j), want.gram.at(i, j), std::sqrt(want.squares[i] * want.squares[j]));
    }
  }
  return difference;
}

void ExpectNear(const std::map<Place, InputStatistics>& got,
                const std::map<Place, InputStatistics>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [place, statistics] : want) {
    SCOPED_TRACE(::testing::Message()
                 << "layer " << std::get<0>(place) << " site "
                 << static_cast<int>(std::get<1>(place)) << " expert " << std::get<2>(place));
    const auto found = got.find(place);
    ASSERT_NE(found, got.end());
    ASSERT_EQ(found->second.tokens, statistics.tokens);
    ASSERT_EQ(found->second.squares.size(), statistics.squares.size());
    ASSERT_EQ(found->second.magnitudes.size(), statistics.magnitudes.size());
    ASSERT_EQ(found->second.gram.values.size(), statistics.gram.values.size());
    EXPECT_LT(LargestDifference(found->second, statistics), kTolerance);
  }
}

class CudaFamiliesTest : public CudaLayerComputeTest,
                         public ::testing::WithParamInterface<std::string_view> {};

TEST_P(CudaFamiliesTest, WalksAsTheProcessorDoes) {
  const OpenModel model(GetParam());
  const auto compute = Open(model);
  ASSERT_TRUE(compute.ok()) << compute.status();
  for (const StatisticsKind kind :
       {StatisticsKind::kNone, StatisticsKind::kSquares, StatisticsKind::kGram}) {
    for (const bool changes : {false, true}) {
      for (const bool all_tokens : {false, true}) {
        SCOPED_TRACE(::testing::Message() << "kind " << static_cast<int>(kind) << " changes "
                                          << changes << " all tokens " << all_tokens);
        Changer want(kind, changes), got(kind, changes);
        const auto want_hidden = Run(model, nullptr, want, all_tokens);
        const auto got_hidden = Run(model, compute->layers.get(), got, all_tokens);
        ASSERT_TRUE(want_hidden.ok()) << want_hidden.status();
        ASSERT_TRUE(got_hidden.ok()) << got_hidden.status();
        EXPECT_LT(LargestDifference(*got_hidden, *want_hidden), kTolerance);
        ExpectNear(got.seen, want.seen);
        ExpectNear(got.observed, want.observed);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, CudaFamiliesTest, ::testing::ValuesIn(kFamilyModels),
                         testing::NameOfFamilyModel);

TEST_F(CudaLayerComputeTest, NeitherThreadsNorSlotsShow) {
  const OpenModel model("gemma2");
  Changer want(StatisticsKind::kGram, true);
  const auto open = Open(model);
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_EQ(open->device, "cuda:1 Processor");
  EXPECT_EQ(open->layers->slots(), 4u);
  const auto hidden = Run(model, open->layers.get(), want);
  ASSERT_TRUE(hidden.ok()) << hidden.status();
  Set("QUANTIZED_FAKE_FORWARD_MEMORY", std::to_string(2 * open->memory_bytes - 1));
  const auto fewer = Open(model);
  ASSERT_TRUE(fewer.ok()) << fewer.status();
  EXPECT_LT(fewer->layers->slots(), 4u);
  EXPECT_LT(fewer->memory_bytes, open->memory_bytes);
  for (const size_t threads : {1, 5}) {
    for (const CudaCompute* compute : {&*open, &*fewer}) {
      Changer got(StatisticsKind::kGram, true);
      const auto again = Run(model, compute->layers.get(), got, false, threads);
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_EQ(*again, *hidden);
      for (const auto& [place, statistics] : want.seen) {
        EXPECT_EQ(got.seen.at(place).gram.values, statistics.gram.values);
        EXPECT_EQ(got.seen.at(place).squares, statistics.squares);
      }
    }
  }
}

TEST_F(CudaLayerComputeTest, TakesLessMemoryForLessStatistics) {
  const OpenModel model("llama");
  uint64_t before = 0;
  for (const StatisticsKind most :
       {StatisticsKind::kNone, StatisticsKind::kSquares, StatisticsKind::kGram}) {
    const auto compute = Open(model, most);
    ASSERT_TRUE(compute.ok()) << compute.status();
    EXPECT_GT(compute->memory_bytes, before);
    before = compute->memory_bytes;
  }
}

TEST_F(CudaLayerComputeTest, TooLittleMemoryIsToldWithItsNumbers) {
  const OpenModel model("llama");
  Set("QUANTIZED_FAKE_FORWARD_MEMORY", "1000000");
  const auto compute =
      OpenCudaCompute(Module(), 1, model.config(), /*window_length=*/4096, StatisticsKind::kNone);
  ASSERT_FALSE(compute.ok());
  EXPECT_EQ(ErrorOf(compute.status()), Error::kOutOfMemory);
  EXPECT_THAT(std::string(compute.status().message()),
              HasSubstr("running the model needs 2.5 MB of cuda:1 Processor, 1.0 MB is free"));
  EXPECT_THAT(SuggestionOf(compute.status()), HasSubstr("--device cpu"));
}

TEST_F(CudaLayerComputeTest, ADeviceThatComputesWronglyIsFoundOut) {
  const OpenModel model("llama");
  for (const auto& [wrong, what] : {std::pair{"attention", "attention its outputs"},
                                    std::pair{"products", "attention its outputs"},
                                    std::pair{"gram", "attention its Gram matrices"}}) {
    SCOPED_TRACE(wrong);
    const auto compute = Open(model, StatisticsKind::kGram);
    ASSERT_TRUE(compute.ok()) << compute.status();
    Set("QUANTIZED_FAKE_FORWARD_WRONG", wrong);
    Changer visitor(StatisticsKind::kGram, true);
    const auto hidden = Run(model, compute->layers.get(), visitor);
    unsetenv("QUANTIZED_FAKE_FORWARD_WRONG");
    ASSERT_FALSE(hidden.ok());
    EXPECT_EQ(ErrorOf(hidden.status()), Error::kInternal);
    EXPECT_THAT(
        std::string(hidden.status().message()),
        HasSubstr(std::string("the device computes wrongly: in the first layer's ") + what));
    EXPECT_TRUE(visitor.seen.empty());
  }
}

TEST_F(CudaLayerComputeTest, AFailedDeviceIsAClearError) {
  const OpenModel model("mixtral");
  const auto compute = Open(model);
  ASSERT_TRUE(compute.ok()) << compute.status();
  for (const char* products : {"0", "5", "40", "100"}) {
    SCOPED_TRACE(products);
    Set("QUANTIZED_FAKE_FORWARD_PRODUCTS", products);
    Changer visitor(StatisticsKind::kGram, true);
    const auto hidden = Run(model, compute->layers.get(), visitor);
    ASSERT_FALSE(hidden.ok());
    EXPECT_EQ(ErrorOf(hidden.status()), Error::kInternal);
    EXPECT_THAT(std::string(hidden.status().message()),
                HasSubstr("cuda:1 Processor failed: multiplying: unspecified launch failure"));
    EXPECT_THAT(SuggestionOf(hidden.status()), HasSubstr("--device cpu"));
    unsetenv("QUANTIZED_FAKE_FORWARD_PRODUCTS");
    Changer again(StatisticsKind::kNone, false);
    EXPECT_TRUE(Run(model, compute->layers.get(), again).ok());
  }
}

}  // namespace
}  // namespace quantized
