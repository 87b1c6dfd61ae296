#include "tests/support/process.h"

#include <signal.h>

#include "gtest/gtest.h"

namespace quantized::testing {
namespace {

TEST(ProcessTest, CollectsStreamsAndExitCode) {
  const ProcessResult result =
      RunProcess({"sh", "-c", "echo out; echo err >&2; echo $WORD; exit 3"},
                 {.environment = {{"WORD", "word"}}, .working_directory = "/"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.out, "out\nword\n");
  EXPECT_EQ(result.err, "err\n");
}

TEST(ProcessTest, TellsSignals) {
  Process process({"sh", "-c", "echo ready >&2; exec sleep 100"}, {});
  EXPECT_TRUE(process.WaitForOutput("ready"));
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Wait().signal, SIGTERM);
}

TEST(ProcessTest, KillsWhatRunsTooLong) {
  const ProcessResult result = RunProcess({"sleep", "100"}, {.timeout = std::chrono::seconds(1)});
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.signal, SIGKILL);
}

TEST(ProcessTest, LeavesAGrandchildThatHoldsTheStreams) {
  const ProcessResult result = RunProcess({"sh", "-c", "sleep 2 & echo done"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "done\n");
}

TEST(ProcessTest, UnknownProgramIs127) {
  EXPECT_EQ(RunProcess({"no-such-program-here"}).exit_code, 127);
}

}  // namespace
}  // namespace quantized::testing
