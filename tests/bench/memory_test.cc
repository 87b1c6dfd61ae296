// Memory must not grow with the model. The size of SmolLM2 and a quarter of it.
#include <gtest/gtest.h>

#include "tests/bench/peak_memory.h"

namespace quantized {
namespace {

TEST(MemoryTest, DoesNotGrowWithTheModel) {
  testing::SyntheticModel model{.layers = 7,
                                .hidden = 576,
                                .feed_forward = 1536,
                                .vocabulary = 12288,
                                .heads = 9,
                                .kv_heads = 3,
                                .tied = true};
  const auto small = testing::PeakMemoryOfQuantizing(model, "Q8_0");
  model.layers = 30;
  model.vocabulary = 49152;
  const auto large = testing::PeakMemoryOfQuantizing(model, "Q8_0");
  EXPECT_GT(large.model_bytes, 260'000'000u);
  EXPECT_LT(large.resident_bytes, 300'000'000u);
  EXPECT_LT(large.resident_bytes, small.resident_bytes + 8'000'000);
}

}  // namespace
}  // namespace quantized
