// Memory for a model of 2 GB (F16), which takes 3 GB of disk while it runs.
#include <gtest/gtest.h>

#include "tests/bench/peak_memory.h"

namespace quantized {
namespace {

TEST(MemoryLargeTest, TwoGigabytes) {
  const testing::SyntheticModel model{.layers = 18,
                                      .hidden = 2048,
                                      .feed_forward = 5632,
                                      .vocabulary = 32000,
                                      .heads = 16,
                                      .kv_heads = 8};
  const auto peak = testing::PeakMemoryOfQuantizing(model, "Q8_0");
  EXPECT_GT(peak.model_bytes, 1'900'000'000u);
  EXPECT_LT(peak.resident_bytes, 400'000'000u);
}

}  // namespace
}  // namespace quantized
