#include "daemon/executors/log_capture.h"

#include <fstream>
#include <iterator>
#include <string>

#include "core/base/error.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

class LogCaptureTest : public ::testing::Test {
 protected:
  LogCapture Create(uint64_t max_bytes = 1 << 20) {
    return LogCapture::Create(path_, max_bytes).value();
  }
  std::string Contents() const {
    std::ifstream file(path_);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  testing::TempDir folder_;
  std::filesystem::path path_ = folder_.path() / "new" / "1.log";
};

TEST_F(LogCaptureTest, WritesWholeLines) {
  LogCapture log = Create();
  log.Append("one\ntw");
  EXPECT_EQ(Contents(), "one\n");
  log.Append("o\n");
  EXPECT_EQ(Contents(), "one\ntwo\n");
  log.Append("three");
  log.Finish();
  EXPECT_EQ(Contents(), "one\ntwo\nthree\n");
  EXPECT_EQ(log.Tail(), "one\ntwo\nthree\n");
}

TEST_F(LogCaptureTest, CutsALineWithoutEnd) {
  LogCapture log = Create();
  log.Append(std::string(5000, 'x'));
  EXPECT_EQ(Contents().size(), 5000u);
}

TEST_F(LogCaptureTest, ASequenceSplitBetweenPortionsStaysWhole) {
  LogCapture log = Create();
  log.Append("\xe2\x82");
  log.Append("\xac \x1b[2J\n");
  EXPECT_EQ(Contents(), "\u20ac ?[2J\n");
}

TEST_F(LogCaptureTest, StopsAtTheCapAndRemembersTheEnd) {
  LogCapture log = Create(/*max_bytes=*/100);
  for (int i = 0; i < 1000; ++i) log.Append("line " + std::to_string(i) + "\n");
  EXPECT_LT(Contents().size(), 200u);
  EXPECT_NE(Contents().find("line 12\n(the log ends here: the worker printed more than 100 bytes)"),
            std::string::npos)
      << Contents();
  EXPECT_EQ(log.Tail().substr(log.Tail().size() - 18), "line 998\nline 999\n");
  EXPECT_LE(log.Tail().size(), 4096u);
  EXPECT_EQ(log.Tail().substr(0, 5), "line ");
}

TEST_F(LogCaptureTest, StartsAnew) {
  Create().Append("old\n");
  Create().Append("new\n");
  EXPECT_EQ(Contents(), "new\n");
}

TEST_F(LogCaptureTest, NeedsAFolder) {
  EXPECT_EQ(ErrorOf(LogCapture::Create("/dev/null/log", 100).status()), Error::kIo);
}

}  // namespace
}  // namespace quantized
