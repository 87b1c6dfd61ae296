#include "client/commands/child_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "client/commands/held_signals.h"
#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;

absl::StatusOr<ChildOutput> Shell(const std::string& script, size_t max_bytes = 1 << 20) {
  return RunChild({"/bin/sh", "-c", script}, {.max_bytes = max_bytes});
}

TEST(RunChildTest, TakesBothStreamsAndTheExitCode) {
  const auto child = Shell("echo out; echo err >&2; exit 6");
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->out, "out\n");
  EXPECT_EQ(child->err, "err\n");
  EXPECT_EQ(child->exit_code, 6);
  EXPECT_EQ(child->signal, 0);
}

TEST(RunChildTest, TellsEachLineOfStderrAsItComes) {
  std::vector<std::string> lines;
  // The child goes on only when its first line was told.
  const testing::TempDir dir;
  const std::filesystem::path heard = dir.path() / "heard";
  const auto child = RunChild({"/bin/sh", "-c",
                               "echo one >&2; until [ -e " + heard.string() +
                                   " ]; do sleep 0.01; done; "
                                   "printf 'two\nthe rest' >&2; echo out"},
                              {.on_err_line = [&](std::string_view line) {
                                lines.emplace_back(line);
                                std::ofstream(heard) << "x";
                              }});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_THAT(lines, ElementsAre("one", "two"));
  EXPECT_EQ(child->err, "one\ntwo\nthe rest");
  EXPECT_EQ(child->out, "out\n");
}

TEST(RunChildTest, TellsTheSignalThatKilledIt) {
  const auto child = Shell("kill -SEGV $$");
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->signal, SIGSEGV);
}

// What a child runs that tells its number, then sends the test a signal and stays.
std::string SignalAndStay(const std::filesystem::path& number) {
  return "echo $$ > " + number.string() + "; kill -TERM $PPID; exec sleep 1000";
}

void ExpectGone(const std::filesystem::path& number) {
  pid_t child = 0;
  ASSERT_TRUE(std::ifstream(number) >> child);
  EXPECT_EQ(kill(child, 0), -1);
}

TEST(RunChildTest, ASignalEndsTheChildFirst) {
  const testing::TempDir dir;
  const std::filesystem::path number = dir.path() / "number";
  for (const std::string before : {"", "trap '' TERM; "}) {
    EXPECT_EXIT((void)Shell(before + SignalAndStay(number)), ::testing::KilledBySignal(SIGTERM),
                "");
    ExpectGone(number);
  }
}

TEST(RunChildTest, WhoHoldsSignalsCleansUpFirst) {
  const testing::TempDir dir;
  const std::filesystem::path number = dir.path() / "number", made = dir.path() / "made";
  std::filesystem::create_directory(made);
  EXPECT_EXIT(
      {
        const HeldSignals signals;
        const auto child = Shell("echo out; " + SignalAndStay(number));
        const auto next = Shell("exec sleep 1000");  // ends at once
        if (child.ok() && child->out == "out\n" && child->signal == SIGTERM && next.ok()) {
          std::filesystem::remove(made);
        }
      },
      ::testing::KilledBySignal(SIGTERM), "");
  ExpectGone(number);
  EXPECT_FALSE(std::filesystem::exists(made));
}

TEST(RunChildTest, WhatIsHeldBackFromUsIsNotFromTheChild) {
  const HeldSignals signals;
  const auto child = Shell("kill -HUP $$; echo still here");
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->signal, SIGHUP);
  EXPECT_EQ(child->out, "");
}

TEST(RunChildTest, TakesMoreThanAPipeHolds) {
  const auto child = Shell("head -c 500000 /dev/zero; head -c 500000 /dev/zero >&2");
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->out.size(), 500000);
  EXPECT_EQ(child->err.size(), 500000);
}

TEST(RunChildTest, EndsOneThatPrintsTooMuch) {
  const auto child = Shell("exec cat /dev/zero", 100000);
  ASSERT_FALSE(child.ok());
  EXPECT_THAT(std::string(child.status().message()), ::testing::HasSubstr("more than 100000"));
}

TEST(RunChildTest, GivesItNoInput) {
  const auto child = Shell("cat");
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->out, "");
}

TEST(RunChildTest, GivesItTheInput) {
  const std::string input(500'000, 'i');  // more than a pipe holds
  const auto child = RunChild({"/bin/sh", "-c", "cat"}, {.input = input});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->out, input);
  EXPECT_TRUE(
      RunChild({"/bin/true"}, {.max_bytes = 1, .input = input}).ok());  // it need not be read
}

TEST(RunChildTest, NamesAProgramThatIsNotThere) {
  const auto child = RunChild({"/no/such/program"});
  ASSERT_FALSE(child.ok());
  EXPECT_THAT(std::string(child.status().message()),
              ::testing::HasSubstr("/no/such/program: No such file or directory"));
}

TEST(RunChildTest, OnlyWhoIsTrustedSeesSecrets) {
  ASSERT_EQ(setenv("HF_TOKEN", "hf_of_a_test", 1), 0);
  const std::vector<std::string> command = {"/bin/sh", "-c", "echo \"[$HF_TOKEN]\""};
  EXPECT_EQ(RunChild(command)->out, "[]\n");
  EXPECT_EQ(RunChild(command, {.sees_secrets = true})->out, "[hf_of_a_test]\n");
  unsetenv("HF_TOKEN");
}

}  // namespace
}  // namespace quantized
