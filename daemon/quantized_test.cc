// The program `quantized` as whoever starts it meets it.
#include <signal.h>
#include <sys/stat.h>

#include <memory>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace quantized::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::StartsWith;

class QuantizedTest : public ::testing::Test {
 protected:
  std::filesystem::path Socket() const { return dir_.path() / "run" / "quantized.sock"; }
  std::filesystem::path State() const { return dir_.path() / "state"; }
  // The daemon, saying READY (or why not) on its standard output.
  std::unique_ptr<Process> Start(const std::vector<std::string>& more = {}) const {
    return StartAt(Socket(), State(), more);
  }
  std::unique_ptr<Process> StartAt(const std::filesystem::path& socket,
                                   const std::filesystem::path& state,
                                   const std::vector<std::string>& more) const {
    std::vector<std::string> argv = {
        BinDir() / "quantized", "--socket", socket, "--state-dir", state, "--ready-fd", "1"};
    argv.insert(argv.end(), more.begin(), more.end());
    return std::make_unique<Process>(argv, ProcessOptions());
  }

  TempDir dir_;
};

// All that look like one.
std::set<std::string> OptionsIn(const std::string& text) {
  static const std::regex kOption("--[a-z-]+");
  return {std::sregex_token_iterator(text.begin(), text.end(), kOption),
          std::sregex_token_iterator()};
}

// As it is read: a hyphen is written with a backslash.
std::string ManualPage() {
  const auto page = ReadFile(SourceDir() / "deploy/man/quantized.1", 1 << 20);
  EXPECT_TRUE(page.ok()) << page.status();
  return std::regex_replace(page.ok() ? *page : "", std::regex(R"(\\-)"), "-");
}

TEST_F(QuantizedTest, SaysItsVersionAndItsOptions) {
  const ProcessResult version = RunProcess({BinDir() / "quantized", "--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, StartsWith("quantized "));
  const ProcessResult help = RunProcess({BinDir() / "quantized", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  const std::set<std::string> options = OptionsIn(help.out);
  EXPECT_THAT(options, IsSupersetOf({"--socket", "--state-dir", "--slots"}));
  EXPECT_EQ(OptionsIn(ManualPage()), options);
  EXPECT_EQ(RunProcess({BinDir() / "quantized", "--slots", "0"}).exit_code, 2);
  EXPECT_EQ(RunProcess({BinDir() / "quantized", "--wrong"}).exit_code, 2);
}

TEST_F(QuantizedTest, ServesUntilASignalAndLeavesNoSocket) {
  for (const int signal : {SIGTERM, SIGINT}) {
    auto daemon = Start();
    ASSERT_TRUE(daemon->WaitForOutput("READY\n", /*in_stderr=*/false));
    EXPECT_TRUE(std::filesystem::exists(Socket()));
    daemon->Signal(SIGHUP);  // a terminal that goes away
    daemon->Signal(signal);
    const ProcessResult result = daemon->Wait();
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_FALSE(std::filesystem::exists(Socket()));
    EXPECT_THAT(result.err, HasSubstr("\"stopped\""));
  }
}

TEST_F(QuantizedTest, StartsOverWhatAKilledOneLeft) {
  for (int i = 0; i < 3; ++i) {
    auto daemon = Start();
    ASSERT_TRUE(daemon->WaitForOutput("READY\n", /*in_stderr=*/false));
    daemon->Signal(SIGKILL);
    EXPECT_EQ(daemon->Wait().signal, SIGKILL);
    EXPECT_TRUE(std::filesystem::exists(Socket()));
  }
}

TEST_F(QuantizedTest, WaitsForOneThatStops) {
  auto first = Start();
  ASSERT_TRUE(first->WaitForOutput("READY\n", /*in_stderr=*/false));
  auto second = Start();
  first->Signal(SIGTERM);
  EXPECT_TRUE(second->WaitForOutput("READY\n", /*in_stderr=*/false));
  EXPECT_EQ(first->Wait().exit_code, 0);
}

TEST_F(QuantizedTest, OfManyStartedAtOnceOneServes) {
  std::vector<std::unique_ptr<Process>> daemons;
  for (int i = 0; i < 8; ++i) daemons.push_back(Start());
  int serving = 0;
  std::unique_ptr<Process>* server = nullptr;
  for (auto& daemon : daemons) {
    if (daemon->WaitForOutput("READY\n", /*in_stderr=*/false)) {
      ++serving;
      server = &daemon;
    } else {
      const ProcessResult result = daemon->Wait();
      EXPECT_EQ(result.exit_code, 1);
      EXPECT_THAT(result.out, HasSubstr("in use by another daemon"));
    }
  }
  ASSERT_EQ(serving, 1);
  (*server)->Signal(SIGTERM);
  EXPECT_EQ((*server)->Wait().exit_code, 0);
}

TEST_F(QuantizedTest, SaysWhyItCannotServe) {
  struct Row {
    std::filesystem::path socket, state;
    std::vector<std::string> options;
    std::string reason;
    int exit_code;
  };
  std::filesystem::create_directory(dir_.path() / "open");
  ASSERT_EQ(chmod((dir_.path() / "open").c_str(), 0755), 0);
  ASSERT_TRUE(CreateDirectories(dir_.path() / "damaged", 0700).ok());
  ASSERT_TRUE(WriteFileAtomically(dir_.path() / "damaged" / "quantized.db", "no database").ok());
  const Row kRows[] = {
      {Socket(), State(), {"--worker", "/no/worker"}, "/no/worker is not an executable file", 1},
      {Socket(), State(), {"--listen", "0.0.0.0:1"}, "is not loopback", 2},
      {Socket(), dir_.path() / "open", {}, "other users may enter it", 1},
      {Socket(), dir_.path() / "damaged", {}, "is damaged", 1},
      {dir_.path() / "open" / "s", State(), {}, "other users may enter it", 1},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.reason);
    const ProcessResult result = StartAt(row.socket, row.state, row.options)->Wait();
    EXPECT_EQ(result.exit_code, row.exit_code);
    EXPECT_THAT(result.out, HasSubstr(row.reason));
    EXPECT_THAT(result.err, HasSubstr(row.reason));
  }
}

TEST_F(QuantizedTest, EndsByItselfWhenEmbeddedAndUnused) {
  const ProcessResult result = Start({"--embedded", "--idle-exit", "0"})->Wait();
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, StartsWith("READY"));
  EXPECT_THAT(result.err, HasSubstr("stopping: unused"));
}

}  // namespace
}  // namespace quantized::testing
