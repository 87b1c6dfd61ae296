// Jobs of several levels: one walk over the source, each level as if it were made alone, and no
// level that pulls another down.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/gguf/reader.h"
#include "core/pipeline/quantize.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string Contents(const fs::path& path) { return *ReadFile(path, uint64_t{1} << 32); }

class SeveralLevelsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::Status status =
        testing::WriteSyntheticModel(model_, {.layers = 3,
                                              .hidden = 256,
                                              .feed_forward = 1024,
                                              .vocabulary = 1500,
                                              .type = kernels::TypeId::kBF16});
    ASSERT_TRUE(status.ok()) << status;
  }

  fs::path OutputOf(const std::string& level) const { return out_ / (level + ".gguf"); }

  QuantizeRequest Request(const std::vector<std::string>& levels) const {
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "./source.gguf";
    for (const std::string& level : levels) {
      request.outputs.push_back({.level = level, .path = OutputOf(level), .previous = {}});
    }
    request.checkpoint.directory = checkpoints_;
    return request;
  }

  QuantizeOutcome Run(const QuantizeRequest& request, size_t threads = 2) {
    ThreadPool pool(threads);
    JobContext context{{}, sink_, pool};
    return Quantize(request, context);
  }

  // A value that BF16 holds and a block of Q8_0 does not, in the last row of a tensor.
  void SpoilForQ8_0() {
    const auto reader = gguf::GgufReader::Open(model_);
    ASSERT_TRUE(reader.ok()) << reader.status();
    for (const gguf::TensorInfo& tensor : (*reader)->tensors()) {
      if (tensor.name != "blk.1.ffn_up.weight") continue;
      const uint16_t huge = 0x7E00;  // 4e37
      File file = *File::OpenForWrite(model_);
      ASSERT_TRUE(
          file.WriteAt(tensor.offset + tensor.size_bytes - 2, std::as_bytes(std::span(&huge, 1)))
              .ok());
    }
  }

  testing::TempDir dir_;
  testing::RecordingSink sink_;
  const fs::path model_ = dir_.path() / "source.gguf";
  const fs::path out_ = dir_.path() / "out";
  const fs::path checkpoints_ = dir_.path() / "checkpoints";
};

const std::vector<std::string> kLevels = {"Q4_K_M", "Q8_0", "BF16", "Q2_K"};

// Bytes that this process has read, from wherever.
uint64_t ReadBytes() {
  std::ifstream file("/proc/self/io");
  std::string key;
  uint64_t value = 0;
  while (file >> key >> value) {
    if (key == "rchar:") return value;
  }
  return 0;
}

TEST_F(SeveralLevelsTest, EachIsAsIfMadeAlone) {
  std::vector<std::string> alone;
  for (const std::string& level : kLevels) {
    const QuantizeOutcome outcome = Run(Request({level}));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    alone.push_back(Contents(OutputOf(level)));
  }
  fs::remove_all(out_);
  const QuantizeOutcome outcome = Run(Request(kLevels));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_EQ(outcome.finished.size(), kLevels.size());
  for (size_t i = 0; i < kLevels.size(); ++i) {
    EXPECT_EQ(outcome.finished[i].level, kLevels[i]);
    EXPECT_EQ(outcome.finished[i].output_path, OutputOf(kLevels[i]));
    EXPECT_TRUE(Contents(OutputOf(kLevels[i])) == alone[i]) << kLevels[i];
  }
  EXPECT_FALSE(fs::exists(checkpoints_));
}

TEST_F(SeveralLevelsTest, TheSourceIsReadOnce) {
  const uint64_t before = ReadBytes();
  const QuantizeOutcome outcome = Run(Request(kLevels));
  const uint64_t read = ReadBytes() - before;
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  // Besides: each output once, for its validation, and four rows of each tensor of the source.
  uint64_t outputs = 0;
  for (const QuantizeResult& result : outcome.finished) outputs += result.file_size_bytes;
  EXPECT_LT(read, fs::file_size(model_) * 3 / 2 + outputs * 5 / 4);
}

TEST_F(SeveralLevelsTest, OneThatFailsLeavesTheOthers) {
  SpoilForQ8_0();
  for (const size_t threads : {1, 2}) {
    SCOPED_TRACE(threads);
    const QuantizeOutcome outcome = Run(Request({"Q8_0", "BF16", "F32"}), threads);
    EXPECT_EQ(ErrorOf(outcome.status), Error::kValidationFailed);
    EXPECT_THAT(std::string(outcome.status.message()),
                HasSubstr("tensor blk.1.ffn_up.weight, row 1023: found a value of"));
    ASSERT_EQ(outcome.finished.size(), 2u);
    EXPECT_EQ(outcome.finished[0].level, "BF16");
    EXPECT_EQ(outcome.finished[1].level, "F32");
    EXPECT_FALSE(fs::exists(OutputOf("Q8_0")));
    EXPECT_FALSE(fs::exists(OutputOf("Q8_0").string() + ".part"));
    EXPECT_TRUE(fs::exists(OutputOf("BF16")));
    EXPECT_FALSE(fs::exists(checkpoints_));
    fs::remove_all(out_);
  }
}

TEST_F(SeveralLevelsTest, WhatCannotBeginMakesNothing) {
  fs::create_directories(out_);
  std::ofstream(OutputOf("Q8_0")) << "something else";
  const QuantizeOutcome outcome = Run(Request({"Q4_0", "Q8_0"}));
  EXPECT_EQ(ErrorOf(outcome.status), Error::kInvalidArgument);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("Q8_0.gguf exists already"));
  EXPECT_TRUE(outcome.finished.empty());
  EXPECT_EQ(std::distance(fs::directory_iterator(out_), fs::directory_iterator()), 1);
}

TEST_F(SeveralLevelsTest, LevelsAndPathsAreDifferent) {
  EXPECT_THAT(std::string(Run(Request({"Q8_0", "q8_0"})).status.message()),
              HasSubstr("'Q8_0' and 'q8_0' are the same quantization level"));
  QuantizeRequest request = Request({"Q8_0", "Q4_0"});
  request.outputs[1].path = request.outputs[0].path;
  EXPECT_THAT(std::string(Run(request).status.message()), HasSubstr("two levels would be written"));
}

TEST_F(SeveralLevelsTest, OneErrorNamesEachLevelThatIsWrong) {
  const absl::Status status = Run(Request({"Q9_X", "q4_k_m", "Q7_Y", "Q4_K"})).status;
  EXPECT_EQ(ErrorOf(status), Error::kInvalidArgument);
  for (const char* part : {"'Q9_X'", "'Q7_Y'", "'q4_k_m' and 'Q4_K' are the same"}) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }
}

TEST_F(SeveralLevelsTest, ProgressCountsALayerWhenAllLevelsHaveIt) {
  ASSERT_TRUE(Run(Request({"Q8_0", "Q4_0"})).status.ok());
  const auto& progress = sink_.progress;
  ASSERT_FALSE(progress.empty());
  EXPECT_EQ(progress.back().done, 3u);
  EXPECT_EQ(progress.back().total, 3u);
  EXPECT_EQ(progress.back().unit, "layers");
  EXPECT_THAT(sink_.messages, ::testing::Contains("Quantizing to GGUF Q8_0, Q4_0"));
}

TEST_F(SeveralLevelsTest, StrictRefusesSubstitutions) {
  ASSERT_TRUE(testing::WriteSyntheticModel(model_, {.layers = 1,
                                                    .hidden = 96,
                                                    .feed_forward = 192,
                                                    .vocabulary = 128,
                                                    .heads = 3,
                                                    .kv_heads = 3})
                  .ok());
  QuantizeRequest request = Request({"Q4_K_M"});
  request.strict = true;
  const QuantizeOutcome outcome = Run(request);
  EXPECT_EQ(ErrorOf(outcome.status), Error::kValidationFailed);
  EXPECT_THAT(std::string(outcome.status.message()),
              HasSubstr("instead of Q6_K: rows of 96 values, Q6_K needs a multiple of 256"));
  EXPECT_FALSE(fs::exists(out_));
}

// Killed in the middle, all levels go on from where they were.
TEST_F(SeveralLevelsTest, AreResumedTogether) {
  ASSERT_TRUE(Run(Request(kLevels)).status.ok());
  std::vector<std::string> undisturbed;
  for (const std::string& level : kLevels) undisturbed.push_back(Contents(OutputOf(level)));
  fs::remove_all(out_);

  const pid_t child = ::fork();
  if (child == 0) {
    testing::RecordingSink sink;
    sink.on_progress = [](const testing::RecordingSink::Progress& progress) {
      if (progress.done == 2) ::kill(::getpid(), SIGKILL);
    };
    ThreadPool pool(1);
    JobContext context{{}, sink, pool};
    Quantize(Request(kLevels), context);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));

  QuantizeRequest request = Request(kLevels);
  request.checkpoint.resume_from = checkpoints_;
  const QuantizeOutcome outcome = Run(request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  for (size_t i = 0; i < kLevels.size(); ++i) {
    EXPECT_GT(outcome.finished[i].units_reused, 10u) << kLevels[i];
    EXPECT_TRUE(Contents(OutputOf(kLevels[i])) == undisturbed[i]) << kLevels[i];
  }
  EXPECT_FALSE(fs::exists(checkpoints_));
}

}  // namespace
}  // namespace quantized
