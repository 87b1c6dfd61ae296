#include "client/render/output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "client/rpc/error_detail.h"
#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

class OutputTest : public ::testing::Test {
 protected:
  OutputTest()
      : out_(open((dir_.path() / "out").c_str(), O_CREAT | O_WRONLY, 0600)),
        err_(open((dir_.path() / "err").c_str(), O_CREAT | O_WRONLY, 0600)) {}
  ~OutputTest() override {
    close(out_);
    close(err_);
  }
  std::string Read(const char* name) const {
    std::ostringstream text;
    text << std::ifstream(dir_.path() / name).rdbuf();
    return text.str();
  }
  testing::TempDir dir_;
  const int out_, err_;
};

TEST_F(OutputTest, ResultsGoToStdoutAndAllElseToStderr) {
  Output output(out_, err_, {}, {});
  EXPECT_TRUE(output.WriteResult("result\n").ok());
  output.Note(Verbosity::kNormal, "note");
  output.Warn("warning");
  output.Fail(MakeError(Error::kIo, "it failed", "try again"), "");
  EXPECT_EQ(Read("out"), "result\n");
  EXPECT_EQ(Read("err"),
            "[llm-quantize] note\n"
            "[llm-quantize] Warning: warning\n"
            "[llm-quantize] Error: it failed\n"
            "[llm-quantize] Suggestion: try again\n");
}

TEST_F(OutputTest, QuietShowsOnlyErrors) {
  Output output(out_, err_, {.verbosity = Verbosity::kQuiet}, {});
  output.Note(Verbosity::kNormal, "note");
  output.Warn("warning");
  output.Fail(MakeError(Error::kIo, "it failed"), "");
  EXPECT_EQ(Read("err"), "[llm-quantize] Error: it failed\n");
}

TEST_F(OutputTest, JsonFailuresAreOneObjectOnStdout) {
  Output output(out_, err_, {.format = Format::kJson}, {});
  output.Fail(MakeError(Error::kModelNotFound, "Model 'x' not found"), "JOB");
  EXPECT_THAT(Read("out"), HasSubstr("\"error_code\": 3"));
  EXPECT_EQ(Read("err"), "[llm-quantize] Error: Model 'x' not found\n");
}

TEST_F(OutputTest, TheLogIsShownAfterACrashOrWhenAskedFor) {
  v1::ErrorDetail detail;
  detail.set_message("failed");
  detail.set_log_tail("last words\x1b[2J");
  for (const auto& [error, verbosity, shown] :
       {std::tuple(Error::kWorkerCrashed, Verbosity::kNormal, true),
        std::tuple(Error::kIo, Verbosity::kVerbose, true),
        std::tuple(Error::kIo, Verbosity::kNormal, false)}) {
    ASSERT_EQ(ftruncate(err_, 0), 0);
    lseek(err_, 0, SEEK_SET);
    detail.set_error(static_cast<int>(error));
    Output(out_, err_, {.verbosity = verbosity}, {}).Fail(StatusOf(detail), "");
    EXPECT_EQ(Read("err").find("\nlast words[2J\n") != std::string::npos, shown);
  }
}

TEST_F(OutputTest, AResultThatCannotBeWrittenIsAnError) {
  const int full = open("/dev/full", O_WRONLY);
  EXPECT_EQ(ErrorOf(Output(full, err_, {}, {}).WriteResult("x")), Error::kDiskFull);
  close(full);

  signal(SIGPIPE, SIG_IGN);
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  close(pipe_fds[0]);
  EXPECT_EQ(ErrorOf(Output(pipe_fds[1], err_, {}, {}).WriteResult("x")), Error::kIo);
  close(pipe_fds[1]);
}

TEST_F(OutputTest, AStderrThatIsGoneDoesNotMatter) {
  Output output(out_, /*err_fd=*/-1, {}, {});
  output.Note(Verbosity::kNormal, "note");
  EXPECT_TRUE(output.WriteResult("result\n").ok());
  EXPECT_EQ(Read("out"), "result\n");
}

}  // namespace
}  // namespace quantized
