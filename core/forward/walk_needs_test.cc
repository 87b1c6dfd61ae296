// What is planned of a walk, beside what the walk takes.
#include "core/forward/walk_needs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/job_context.h"
#include "core/base/thread_pool.h"
#include "core/forward/layer_weights.h"
#include "core/forward/test_model.h"
#include "tests/support/allocation_count.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using testing::kFamilyModels;
using testing::OpenModel;
using testing::PeakOf;
using testing::RecordingSink;
using testing::TempDir;
using testing::TestWindows;

// Sizes of the files of activations that the process holds open.
uint64_t OpenActivationBytes() {
  uint64_t bytes = 0;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc/self/fd")) {
    const fs::path file = fs::read_symlink(entry.path(), ignored);
    if (file.filename().string().starts_with("activations-")) {
      bytes += fs::file_size(entry.path(), ignored);
    }
  }
  return bytes;
}

// Looks at the disk at each site; changes nothing, whatever it says.
class Looker : public LayerVisitor {
 public:
  explicit Looker(bool changes) : changes_(changes) {}
  bool ChangesWeights() const override { return changes_; }
  absl::Status OnInputs(const SiteInputs&, std::span<Linear* const>) override {
    most_disk_bytes = std::max(most_disk_bytes, OpenActivationBytes());
    return absl::OkStatus();
  }

  uint64_t most_disk_bytes = 0;

 private:
  const bool changes_;
};

// Weights and rotations, which are not in the needs, are below this for each of the models.
constexpr uint64_t kWeightBytes = 512 << 10;

class WalkNeedsTest : public ::testing::TestWithParam<std::string_view> {
 protected:
  struct Taken {
    uint64_t memory_bytes = 0, disk_bytes = 0;
  };
  Taken Run(const WalkSize& size, const WalkOptions& options) {
    const auto windows = TestWindows(size.windows, size.window_length);
    ThreadPool threads(size.threads);
    RecordingSink sink;
    JobContext context{{}, sink, threads};
    Looker looker(size.changes_weights);
    Taken taken;
    taken.memory_bytes = PeakOf([&] {
      const auto walk = LayerWalk::Start(model_.config(), model_.hf_config(), model_.source(),
                                         windows, options, context);
      ASSERT_TRUE(walk.ok()) << walk.status();
      for (uint32_t layer = 0; layer < model_.config().geometry.layers; ++layer) {
        const absl::Status status = (*walk)->RunLayer(layer, model_.source(), looker);
        ASSERT_TRUE(status.ok()) << status;
      }
    });
    taken.disk_bytes = looker.most_disk_bytes;
    return taken;
  }

  TempDir dir_;
  const OpenModel model_{GetParam()};
};

TEST_P(WalkNeedsTest, MemoryIsNoLessThanTheWalkTakes) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "a sanitizer's operator new";
  for (const size_t threads : {1, 7}) {
    for (const bool changes : {false, true}) {
      SCOPED_TRACE(::testing::Message() << threads << " threads, changes " << changes);
      const WalkSize size = {
          .windows = 9, .window_length = 1024, .threads = threads, .changes_weights = changes};
      const WalkOptions options = {.spill_folder = dir_.path()};
      const WalkNeeds needs = NeedsOf(model_.config(), size, options);
      const Taken taken = Run(size, options);
      EXPECT_GE(needs.memory_bytes + kWeightBytes, taken.memory_bytes);
      // And is not far beyond it, but where a mixture's experts share the tokens, or threads happen
      // not to meet.
      if (!IsMixture(model_.config()) && threads == 1) {
        EXPECT_LE(needs.memory_bytes, taken.memory_bytes * 5 / 3);
      }
      EXPECT_EQ(needs.disk_bytes, 0u);
    }
  }
}

// Where some of the activations spill, of a mixture's experts those of few tokens may not.
TEST_P(WalkNeedsTest, MemoryIsNoLessWhereSomeSpills) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "a sanitizer's operator new";
  const WalkSize size = {
      .windows = 9, .window_length = 1024, .threads = 1, .changes_weights = true};
  const uint64_t hidden_bytes = size.tokens() * model_.config().geometry.hidden * sizeof(float);
  for (const uint64_t budget : {hidden_bytes - 1, 2 * hidden_bytes, 5 * hidden_bytes / 2}) {
    SCOPED_TRACE(budget);
    const WalkOptions options = {.memory_budget_bytes = budget, .spill_folder = dir_.path()};
    EXPECT_GE(NeedsOf(model_.config(), size, options).memory_bytes + kWeightBytes,
              Run(size, options).memory_bytes);
  }
}

TEST_P(WalkNeedsTest, DiskIsWhatTheWalkTakes) {
  const ForwardConfig& config = model_.config();
  const uint64_t hidden_bytes = uint64_t{6} * 64 * config.geometry.hidden * sizeof(float);
  for (const bool changes : {false, true}) {
    for (const bool all_tokens : {false, true}) {
      // None fits; the hidden ones do, but not the inner ones; two do; all do.
      for (const uint64_t budget :
           {hidden_bytes - 1, hidden_bytes, 2 * hidden_bytes, 100 * hidden_bytes}) {
        SCOPED_TRACE(::testing::Message() << changes << " " << all_tokens << " " << budget);
        const WalkSize size = {
            .windows = 6, .window_length = 64, .threads = 2, .changes_weights = changes};
        const WalkOptions options = {.memory_budget_bytes = budget,
                                     .spill_folder = dir_.path(),
                                     .all_tokens_to_experts = all_tokens};
        const uint64_t planned = NeedsOf(config, size, options).disk_bytes;
        const uint64_t taken = Run(size, options).disk_bytes;
        if (IsMixture(config)) {
          EXPECT_GE(planned, taken);
        } else {
          EXPECT_EQ(planned, taken);
        }
        if (budget < hidden_bytes) {
          EXPECT_GE(planned, hidden_bytes);
        }
        if (budget == hidden_bytes && changes) {
          EXPECT_GT(planned, 0u);
        }
        if (budget == 100 * hidden_bytes) {
          EXPECT_EQ(planned, 0u);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, WalkNeedsTest, ::testing::ValuesIn(kFamilyModels),
                         testing::NameOfFamilyModel);

}  // namespace
}  // namespace quantized
