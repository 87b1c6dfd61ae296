// Core's quantization while the file system fails it, or the process dies, at each of its file
// operations in turn. Afterwards the same command ends with the same bytes, and nothing else is
// left.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/fault_shim.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/synthetic_model.h"

namespace quantized::testing {
namespace {

namespace fs = std::filesystem;

const char* const kCalls[] = {"open", "write", "sync", "rename", "truncate", "allocate", "unlink"};

class QuantizeFaultsTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const absl::Status status = WriteSyntheticModel(
        model_, {.layers = 1, .hidden = 64, .feed_forward = 96, .vocabulary = 40, .tied = true});
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(Run({}).exit_code, 0);
    undisturbed_ = Contents(output_);
    fs::remove_all(work_);
  }

  ProcessResult Run(const ProcessOptions& options, bool retried = false) const {
    fs::create_directories(work_);
    std::vector<std::string> command = {BinDir() / "quantize-once", model_, "Q8_0", output_,
                                        work_ / "checkpoints",      "2"};
    if (retried) command.push_back("retried");
    return RunProcess(command, options);
  }

  // With a fault at the n-th operation of the parameter's kind on a file of the job's.
  ProcessResult RunWithFault(int n, const std::string& action) {
    fs::remove(mark_);
    ProcessOptions options;
    options.environment = FaultEnvironment({.exe = "quantize-once",
                                            .call = GetParam(),
                                            .path = work_.string() + "/*",
                                            .n = n,
                                            .action = action,
                                            .mark = mark_});
    return Run(options);
  }
  bool Struck() const { return fs::exists(mark_); }

  static std::string Contents(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  // Whatever lies under the final name is whole.
  void ExpectNoPartialOutput() const {
    EXPECT_TRUE(!fs::exists(output_) || Contents(output_) == undisturbed_);
  }

  // What the daemon does after an attempt that ended without a word.
  void ExpectRetryFinishes() const {
    const ProcessResult again = Run({}, /*retried=*/true);
    EXPECT_EQ(again.exit_code, 0) << again.err;
    EXPECT_TRUE(Contents(output_) == undisturbed_);
    std::vector<std::string> left;
    for (const auto& entry : fs::recursive_directory_iterator(work_)) left.push_back(entry.path());
    EXPECT_EQ(left, (std::vector<std::string>{output_.parent_path(), output_}));
  }

  TempDir dir_;
  const fs::path model_ = dir_.path() / "model.gguf";
  const fs::path work_ = dir_.path() / "work";
  const fs::path output_ = work_ / "out" / "model-Q8_0.gguf";
  const fs::path mark_ = dir_.path() / "struck";
  std::string undisturbed_;
};

TEST_P(QuantizeFaultsTest, KilledAtEachOperation) {
  int strikes = 0;
  for (const char* action : {"kill", "kill-after"}) {
    for (int n = 1;; ++n) {
      SCOPED_TRACE(::testing::Message() << action << " at number " << n);
      const ProcessResult result = RunWithFault(n, action);
      if (!Struck()) {
        EXPECT_EQ(result.exit_code, 0) << result.err;
        fs::remove_all(work_);
        break;
      }
      ++strikes;
      EXPECT_EQ(result.signal, SIGKILL);
      ExpectNoPartialOutput();
      ExpectRetryFinishes();
      fs::remove_all(work_);
    }
  }
  EXPECT_GT(strikes, 0);
}

TEST_P(QuantizeFaultsTest, FailedAtEachOperation) {
  for (const char* error : {"EIO", "ENOSPC"}) {
    for (int n = 1;; ++n) {
      SCOPED_TRACE(::testing::Message() << error << " at number " << n);
      const ProcessResult result = RunWithFault(n, error);
      if (!Struck()) {
        EXPECT_EQ(result.exit_code, 0) << result.err;
        fs::remove_all(work_);
        break;
      }
      EXPECT_EQ(result.signal, 0);
      // Failures to tidy up are survived; all others end the job with exit code 1 and a reason.
      if (result.exit_code == 0) {
        EXPECT_TRUE(Contents(output_) == undisturbed_);
      } else {
        EXPECT_EQ(result.exit_code, 1);
        EXPECT_NE(result.err.find(work_.string()), std::string::npos) << result.err;
      }
      ExpectNoPartialOutput();
      ExpectRetryFinishes();
      fs::remove_all(work_);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Calls, QuantizeFaultsTest, ::testing::ValuesIn(kCalls),
                         [](const auto& call) { return std::string(call.param); });

}  // namespace
}  // namespace quantized::testing
