// The shim against programs that every Debian has.
#include "tests/support/fault_shim.h"

#include <signal.h>

#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/sandbox.h"

namespace quantized::testing {
namespace {

class FaultShimTest : public ::testing::Test {
 protected:
  FaultShimTest() { std::ofstream(Path("from")) << "abcdef"; }

  std::string Path(const std::string& name) const { return folder_.path() / name; }
  std::string Contents(const std::string& name) const {
    std::ifstream file(Path(name));
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  bool Exists(const std::string& name) const { return std::filesystem::exists(Path(name)); }
  // Copies byte by byte, then syncs.
  std::vector<std::string> Copy() const {
    return {"dd", "if=" + Path("from"), "of=" + Path("to"), "bs=1", "conv=fsync"};
  }
  static ProcessResult RunWith(const std::vector<std::string>& command, const FaultRule& rule) {
    ProcessOptions options;
    options.environment = FaultEnvironment(rule);
    return RunProcess(command, options);
  }

  TempDir folder_;
};

TEST_F(FaultShimTest, KillsBeforeTheNthCall) {
  const auto result =
      RunWith(Copy(), {.exe = "dd", .call = "write", .path = "*/to", .n = 3, .action = "kill"});
  EXPECT_EQ(result.signal, SIGKILL);
  EXPECT_EQ(Contents("to"), "ab");
}

TEST_F(FaultShimTest, KillsAfterTheCall) {
  const auto result =
      RunWith({"mv", "-T", Path("from"), Path("to")},
              {.exe = "mv", .call = "rename", .path = "*/to", .action = "kill-after"});
  EXPECT_EQ(result.signal, SIGKILL);
  EXPECT_EQ(Contents("to"), "abcdef");
  EXPECT_FALSE(Exists("from"));
}

TEST_F(FaultShimTest, FailsOneCallOrAllLaterOnes) {
  EXPECT_EQ(
      RunWith({"rm", Path("from")}, {.exe = "rm", .call = "unlink", .action = "EIO"}).exit_code, 1);
  EXPECT_TRUE(Exists("from"));
  EXPECT_EQ(RunWith({"rm", Path("from")}, {.exe = "rm", .call = "unlink", .n = 2, .action = "EIO"})
                .exit_code,
            0);
  for (const bool and_later : {false, true}) {
    std::ofstream(Path("a")) << "a";
    std::ofstream(Path("b")) << "b";
    RunWith({"rm", Path("a"), Path("b")},
            {.exe = "rm", .call = "unlink", .n = 1, .and_later = and_later, .action = "EIO"});
    EXPECT_TRUE(Exists("a"));
    EXPECT_EQ(Exists("b"), and_later);
  }
}

TEST_F(FaultShimTest, TellsTheErrno) {
  const auto full =
      RunWith(Copy(), {.exe = "dd", .call = "write", .path = "*/to", .action = "ENOSPC"});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_NE(full.err.find("No space left on device"), std::string::npos) << full.err;
  const auto sync = RunWith(Copy(), {.exe = "dd", .call = "sync", .action = "EIO"});
  EXPECT_NE(sync.err.find("Input/output error"), std::string::npos) << sync.err;
}

TEST_F(FaultShimTest, StopsAndGoesOn) {
  ProcessOptions options;
  options.environment =
      FaultEnvironment({.exe = "dd", .call = "sync", .path = "*/to", .action = "stop"});
  Process process(Copy(), options);
  EXPECT_TRUE(WaitUntil([&] { return ProcessState(process.pid()) == 'T'; }));
  EXPECT_EQ(Contents("to"), "abcdef");
  process.Signal(SIGCONT);
  EXPECT_EQ(process.Wait().exit_code, 0);
}

TEST_F(FaultShimTest, StrikesOnceWhereAMarkIsLeft) {
  const FaultRule rule = {
      .exe = "dd", .call = "write", .path = "*/to", .action = "kill", .mark = Path("mark")};
  EXPECT_EQ(RunWith(Copy(), rule).signal, SIGKILL);
  EXPECT_TRUE(Exists("mark"));
  EXPECT_EQ(RunWith(Copy(), rule).exit_code, 0);
}

TEST_F(FaultShimTest, LeavesOthersAlone) {
  for (const FaultRule& rule :
       {FaultRule{.exe = "mv", .call = "write", .action = "kill"},
        FaultRule{.exe = "dd", .call = "rename", .action = "kill"},
        FaultRule{.exe = "dd", .call = "write", .path = "*/elsewhere", .action = "kill"}}) {
    EXPECT_EQ(RunWith(Copy(), rule).exit_code, 0) << rule.exe << rule.call << rule.path;
    EXPECT_EQ(Contents("to"), "abcdef");
  }
}

TEST_F(FaultShimTest, ReachesProgramsThatThePoorOneStarts) {
  const auto result =
      RunWith({"sh", "-c", "dd if=" + Path("from") + " of=" + Path("to") + "; true"},
              {.exe = "dd", .call = "open", .path = "*/to", .action = "EACCES"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.err.find("Permission denied"), std::string::npos) << result.err;
}

TEST_F(FaultShimTest, RefusesARuleItCannotRead) {
  EXPECT_EQ(RunWith(Copy(), {.exe = "dd", .call = "write", .action = "explode"}).signal, SIGABRT);
}

}  // namespace
}  // namespace quantized::testing
