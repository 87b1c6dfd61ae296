// Memory must not grow with the model. The size of SmolLM2 and a quarter of it.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "core/base/no_progress.h"
#include "core/pipeline/quantize_directory.h"
#include "core/pipeline/test_directory.h"
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

// A layer's weights as floats are 4 MB: those of 12 layers more would show.
TEST(MemoryTest, RunningAModelDoesNotGrowWithItsLayers) {
  struct Work {
    const char* name;
    std::string format, level;
  };
  for (const Work& work : {Work{"importance", "gguf", "IQ2_XXS"}, Work{"gptq", "gptq", "4bit"},
                           Work{"awq", "awq", "4bit"}}) {
    const auto peak_of = [&](uint32_t layers) {
      const testing::TempDir dir;
      // In a process of its own, too: what this one keeps of it would count for those after it.
      testing::PeakResidentBytesOf([&] {
        testing::WriteDirectoryModel(
            dir.path() / "model",
            {.layers = layers, .hidden = 256, .feed_forward = 1024, .head_dim = 64});
        return true;
      });
      QuantizeRequest request;
      request.model_path = dir.path() / "model";
      request.format = work.format;
      request.outputs = {{.level = work.level, .path = dir.path() / "output"}};
      request.calibration = {.samples = 4, .sequence_length = 64};
      request.checkpoint.directory = dir.path() / "checkpoints";
      request.cache_directory = dir.path() / "cache";
      request.quality = {.is_wanted = true, .report = true, .samples = 2};
      return testing::PeakResidentBytesOf([&] {
        ThreadPool threads(2);
        NoProgress progress;
        JobContext context{{}, progress, threads};
        return (work.format == "gguf" ? Quantize(request, context)
                                      : QuantizeToDirectory(request, context))
            .status.ok();
      });
    };
    const uint64_t few = peak_of(4), many = peak_of(16);
    std::printf("%s: %.1f MB resident with 4 layers, %.1f MB with 16\n", work.name, few / 1e6,
                many / 1e6);
    EXPECT_LT(static_cast<double>(many), 1.05 * static_cast<double>(few)) << work.name;
  }
}

}  // namespace
}  // namespace quantized
