#include "client/rpc/embedded_daemon.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>
#include <vector>

#include "client/rpc/connection.h"
#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
namespace fs = std::filesystem;

class EmbeddedDaemonTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const pid_t pid : Starts()) kill(pid, SIGKILL);
  }

  UserFolders Folders() const { return {dir_.path() / "state", dir_.path() / "run"}; }

  EmbeddedDaemonOptions Fake() const { return {testing::BinDir() / "fake_quantized", Folders()}; }

  // A program that does `script` instead of starting.
  EmbeddedDaemonOptions Script(std::string_view script) const {
    const fs::path path = dir_.path() / "script";
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    chmod(path.c_str(), 0755);
    return {path, Folders()};
  }

  // The processes that were started.
  std::vector<pid_t> Starts() const {
    std::vector<pid_t> pids;
    std::ifstream file(Folders().state_dir / "starts");
    for (pid_t pid; file >> pid;) pids.push_back(pid);
    return pids;
  }

  testing::TempDir dir_;
};

TEST_F(EmbeddedDaemonTest, IsStartedOnceAndThenFound) {
  EXPECT_FALSE(FindEmbeddedDaemon(Folders()).ok());
  const auto first = EnsureEmbeddedDaemon(Fake(), {});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->started);
  const auto second = EnsureEmbeddedDaemon(Fake(), {});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->started);
  EXPECT_EQ(second->socket, first->socket);
  EXPECT_TRUE(FindEmbeddedDaemon(Folders()).ok());
  EXPECT_THAT(Starts(), SizeIs(1));
}

TEST_F(EmbeddedDaemonTest, ManyFirstCallsMakeOne) {
  std::vector<std::thread> threads;
  std::atomic<int> served = 0, started = 0;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([&] {
      const auto daemon = EnsureEmbeddedDaemon(Fake(), {});
      served += daemon.ok();
      started += daemon.ok() && daemon->started;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, 50);
  EXPECT_EQ(started, 1);
  EXPECT_THAT(Starts(), SizeIs(1));
}

TEST_F(EmbeddedDaemonTest, IsStartedAgainAfterItDied) {
  ASSERT_TRUE(EnsureEmbeddedDaemon(Fake(), {}).ok());
  ASSERT_THAT(Starts(), SizeIs(1));
  ASSERT_EQ(kill(Starts()[0], SIGKILL), 0);
  while (SocketAnswers(Folders().socket())) std::this_thread::yield();
  const auto again = EnsureEmbeddedDaemon(Fake(), {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->started);
  EXPECT_THAT(Starts(), SizeIs(2));
}

TEST_F(EmbeddedDaemonTest, IsFoundFromASessionWithAnotherSocketFolder) {
  ASSERT_TRUE(EnsureEmbeddedDaemon(Fake(), {}).ok());
  EmbeddedDaemonOptions other = Fake();
  other.folders.socket_dir = dir_.path() / "other-run";
  const auto found = EnsureEmbeddedDaemon(other, {});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->started);
  EXPECT_EQ(found->socket, Folders().socket());
}

TEST_F(EmbeddedDaemonTest, ItsOwnReasonIsPassedOn) {
  const auto daemon = EnsureEmbeddedDaemon(Script("echo 'the store is damaged' >&3; exit 1"), {});
  ASSERT_FALSE(daemon.ok());
  EXPECT_EQ(ErrorOf(daemon.status()), Error::kDaemonUnavailable);
  EXPECT_EQ(daemon.status().message(), "the daemon did not start: the store is damaged");
  EXPECT_THAT(SuggestionOf(daemon.status()), HasSubstr(Folders().log().native()));
}

TEST_F(EmbeddedDaemonTest, ASilentEndIsDescribed) {
  const auto exited = EnsureEmbeddedDaemon(Script("exit 7"), {});
  ASSERT_FALSE(exited.ok());
  EXPECT_THAT(std::string(exited.status().message()), HasSubstr("ended with exit code 7"));
  const auto killed = EnsureEmbeddedDaemon(Script("kill -9 $$"), {});
  ASSERT_FALSE(killed.ok());
  EXPECT_THAT(std::string(killed.status().message()), HasSubstr("killed by signal 9"));
}

TEST_F(EmbeddedDaemonTest, OneThatNeverGetsReadyIsEnded) {
  EmbeddedDaemonOptions options = Script("echo $$ >> " + (Folders().state_dir / "starts").native() +
                                         "; exec tail -f /dev/null");
  options.ready_timeout = std::chrono::milliseconds(300);
  const auto daemon = EnsureEmbeddedDaemon(options, {});
  ASSERT_FALSE(daemon.ok());
  EXPECT_THAT(std::string(daemon.status().message()), HasSubstr("was not ready within"));
}

TEST_F(EmbeddedDaemonTest, AMissingProgramIsNamed) {
  const auto daemon = EnsureEmbeddedDaemon({dir_.path() / "quantized", Folders()}, {});
  ASSERT_FALSE(daemon.ok());
  EXPECT_THAT(std::string(daemon.status().message()), HasSubstr("quantized: No such file"));
}

TEST_F(EmbeddedDaemonTest, ItGetsNoDescriptorSignalMaskOrFolderOfOurs) {
  const auto daemon = EnsureEmbeddedDaemon(
      Script("(ls /proc/self/fd | tr '\\n' ' '; pwd; grep SigBlk /proc/self/status | cut -f2) "
             "| tr '\\n' ' ' >&3; exit 1"),
      {});
  ASSERT_FALSE(daemon.ok());
  // ls itself holds descriptor 4 (the folder); nothing else is open beyond the ready descriptor.
  EXPECT_THAT(std::string(daemon.status().message()), HasSubstr("0 1 2 3 4 / 0000000000000000"));
}

TEST_F(EmbeddedDaemonTest, WaitingForAnotherStarterEnds) {
  ASSERT_TRUE(PrepareUserFolders(Folders()).ok());
  // Holds the lock as a starting client does, for as long as the test needs.
  EmbeddedDaemonOptions slow = Script("exec tail -f /dev/null");
  std::stop_source stop;
  std::thread starter([&] { (void)EnsureEmbeddedDaemon(slow, stop.get_token()); });
  while (!fs::exists(Folders().socket_record())) std::this_thread::yield();
  EmbeddedDaemonOptions waiting = Fake();
  waiting.lock_timeout = std::chrono::milliseconds(100);
  const auto daemon = EnsureEmbeddedDaemon(waiting, {});
  EXPECT_FALSE(daemon.ok());
  EXPECT_THAT(std::string(daemon.status().message()), HasSubstr("another client"));
  stop.request_stop();
  starter.join();
}

}  // namespace
}  // namespace quantized
