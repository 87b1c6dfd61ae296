#include "core/pipeline/layer_probe.h"

#include <gtest/gtest.h>

#include "core/base/no_progress.h"
#include "core/pipeline/test_directory.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

// Wants what GPTQ wants, and counts what it gets.
class CountingVisitor : public LayerVisitor {
 public:
  StatisticsKind Wants(Site) const override { return StatisticsKind::kGram; }
  bool ChangesWeights() const override { return true; }
  absl::Status OnInputs(const SiteInputs& inputs, std::span<Linear* const>) override {
    EXPECT_EQ(inputs.layer, 0u);
    EXPECT_EQ(inputs.statistics.tokens, 2048u);
    ++calls;
    return absl::OkStatus();
  }
  int calls = 0;
};

TEST(LayerProbeTest, TheFirstLayerIsShownToTheVisitorOnce) {
  const testing::TempDir dir;
  testing::WriteDirectoryModel(dir.path() / "model");
  const auto model = OpenCalibratedModel(dir.path() / "model");
  ASSERT_TRUE(model.ok()) << model.status();
  ThreadPool threads(2);
  NoProgress progress;
  JobContext context{{}, progress, threads};
  CountingVisitor visitor;
  const auto cost = ProbeLayer(*model, *model->source, 64, visitor, nullptr, context);
  ASSERT_TRUE(cost.ok()) << cost.status();
  EXPECT_EQ(visitor.calls, 4);
  EXPECT_GT(cost->seconds_per_token, 0);
  EXPECT_GE(cost->fixed_seconds, 0);
}

TEST(LayerCostTest, GrowsWithLayersAndTokens) {
  const LayerCost cost = {.fixed_seconds = 2, .seconds_per_token = 0.5};
  EXPECT_EQ(cost.Seconds(3, 0), 6);
  EXPECT_EQ(cost.Seconds(3, 10), 21);
}

}  // namespace
}  // namespace quantized
