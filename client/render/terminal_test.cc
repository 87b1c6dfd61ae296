#include "client/render/terminal.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace quantized {
namespace {

class TerminalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    winsize size{};
    size.ws_col = 123;
    ASSERT_EQ(openpty(&controller_, &terminal_, nullptr, nullptr, &size), 0);
  }
  void TearDown() override {
    close(controller_);
    close(terminal_);
  }
  int controller_ = -1, terminal_ = -1;
};

TEST_F(TerminalTest, RedrawsAndColoursWhereAPersonWatches) {
  const Terminal terminal = DetectTerminal(terminal_, {{"TERM", "xterm"}, {"LANG", "de_DE.UTF-8"}});
  EXPECT_TRUE(terminal.is_tty && terminal.redraws && terminal.color && terminal.utf8);
  EXPECT_EQ(TerminalColumns(terminal_), 123);
}

TEST_F(TerminalTest, ObeysTheEnvironment) {
  EXPECT_FALSE(DetectTerminal(terminal_, {{"TERM", "xterm"}, {"NO_COLOR", "1"}}).color);
  EXPECT_TRUE(DetectTerminal(terminal_, {{"TERM", "xterm"}, {"NO_COLOR", ""}}).color);
  EXPECT_TRUE(DetectTerminal(terminal_, {{"TERM", "xterm"}, {"NO_COLOR", "1"}}).redraws);
  EXPECT_FALSE(DetectTerminal(terminal_, {{"TERM", "dumb"}}).redraws);
  EXPECT_FALSE(DetectTerminal(terminal_, {{"TERM", "dumb"}}).color);
  EXPECT_FALSE(DetectTerminal(terminal_, {}).redraws);
  EXPECT_FALSE(DetectTerminal(terminal_, {{"TERM", "xterm"}, {"CI", "true"}}).redraws);
}

TEST_F(TerminalTest, TheFirstLocaleVariableThatIsSetCounts) {
  EXPECT_FALSE(DetectTerminal(terminal_, {{"LC_ALL", "C"}, {"LANG", "en_US.UTF-8"}}).utf8);
  EXPECT_TRUE(DetectTerminal(terminal_, {{"LC_ALL", ""}, {"LANG", "C.utf8"}}).utf8);
  EXPECT_FALSE(DetectTerminal(terminal_, {}).utf8);
}

TEST(NoTerminalTest, APipeIsNone) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const Terminal terminal = DetectTerminal(fds[1], {{"TERM", "xterm"}});
  EXPECT_FALSE(terminal.is_tty || terminal.redraws || terminal.color);
  EXPECT_EQ(TerminalColumns(fds[1]), 80);
  close(fds[0]);
  close(fds[1]);
}

}  // namespace
}  // namespace quantized
