// The program quantize-worker as the daemon sees it: run by the executor, and with a daemon that
// goes away or talks nonsense.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "daemon/executors/local_process.h"
#include "daemon/executors/spawn.h"
#include "daemon/worker/frames.h"
#include "gtest/gtest.h"
#include "tests/support/fault_shim.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/sandbox.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

std::filesystem::path Worker() { return testing::BinDir() / "quantize-worker"; }

class EndKeeper final : public AttemptObserver {
 public:
  void OnFrame(const v1::WorkerFrame&) override {}
  void OnRunning(int64_t pid, uint64_t) override { pid_.set_value(static_cast<pid_t>(pid)); }
  void OnEnd(AttemptEnd end) override { end_.set_value(std::move(end)); }
  pid_t pid() { return shared_pid_.get(); }
  AttemptEnd Await() { return end_.get_future().get(); }

 private:
  std::promise<pid_t> pid_;
  std::shared_future<pid_t> shared_pid_ = pid_.get_future().share();
  std::promise<AttemptEnd> end_;
};

TEST(RealWorkerTest, DoesANoopJob) {
  const testing::TempDir folder;
  const auto executor = CreateLocalExecutor({.worker_binary = Worker()}).value();
  EndKeeper observer;
  v1::StartAttempt start;
  start.set_job_id("J1");
  start.mutable_spec()->mutable_noop();
  const auto attempt = executor->Start(start, folder.path() / "log", observer).value();
  const AttemptEnd end = observer.Await();
  ASSERT_NE(end.result, nullptr);
  EXPECT_TRUE(end.result->has_noop());
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_GT(end.peak_memory_bytes, 1u << 20);
  EXPECT_NE(end.log_tail.find("\"message\":\"attempt succeeded\""), std::string::npos)
      << end.log_tail;
}

TEST(RealWorkerTest, RefusesAJobWithoutOperation) {
  const testing::TempDir folder;
  const auto executor = CreateLocalExecutor({.worker_binary = Worker()}).value();
  EndKeeper observer;
  const auto attempt = executor->Start({}, folder.path() / "log", observer).value();
  const AttemptEnd end = observer.Await();
  ASSERT_NE(end.error, nullptr);
  EXPECT_EQ(end.error->error().error(), static_cast<int>(Error::kNotImplemented));
}

// A job that stops itself (SIGSTOP) before each write to its output, so that a test can act at a
// moment of its choice.
class SteppedJobTest : public ::testing::Test {
 protected:
  SteppedJobTest() {
    EXPECT_TRUE(testing::WriteSyntheticModel(folder_.path() / "m.gguf", {.layers = 4}).ok());
    for (const auto& [name, value] : testing::FaultEnvironment({.exe = "quantize-worker",
                                     .call = "write",
                                     .path = "*.part",
                                     .and_later = true,
                                     .action = "stop"})) {
      setenv(name.c_str(), value.c_str(), 1);
      names_.push_back(name);
    }
    v1::StartAttempt start;
    v1::QuantizeSpec& spec = *start.mutable_spec()->mutable_quantize();
    spec.set_model_path(folder_.path() / "m.gguf");
    spec.set_format("gguf");
    spec.add_outputs()->set_level("Q8_0");
    spec.mutable_outputs(0)->set_path(folder_.path() / "out.gguf");
    spec.set_threads(1);
    attempt_ = executor_->Start(start, folder_.path() / "log", observer_).value();
  }
  ~SteppedJobTest() override {
    for (const std::string& name : names_) unsetenv(name.c_str());
  }

  // Lets it go on, again and again, until it ends.
  AttemptEnd GoOn() {
    std::future<AttemptEnd> end =
        std::async(std::launch::async, [this] { return observer_.Await(); });
    while (end.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      kill(observer_.pid(), SIGCONT);
    }
    return end.get();
  }
  void AwaitFirstWrite() {
    EXPECT_TRUE(
        testing::WaitUntil([this] { return testing::ProcessState(observer_.pid()) == 'T'; }));
  }
  bool OutputExists() const { return std::filesystem::exists(folder_.path() / "out.gguf"); }

  testing::TempDir folder_;
  std::vector<std::string> names_;
  EndKeeper observer_;
  std::unique_ptr<Executor> executor_ = CreateLocalExecutor({.worker_binary = Worker()}).value();
  std::unique_ptr<Attempt> attempt_;
};

TEST_F(SteppedJobTest, MakesTheOutput) {
  AwaitFirstWrite();
  EXPECT_FALSE(OutputExists());
  const AttemptEnd end = GoOn();
  ASSERT_NE(end.result, nullptr);
  EXPECT_EQ(end.result->quantize().outputs(0).level(), "Q8_0");
  EXPECT_EQ(end.result->quantize().outputs(0).threads(), 1u);
  EXPECT_GT(end.result->quantize().outputs(0).peak_memory_bytes(), 1u << 20);
  EXPECT_TRUE(OutputExists());
}

TEST_F(SteppedJobTest, StopIsACancelledJob) {
  AwaitFirstWrite();
  attempt_->Stop(std::chrono::minutes(1));
  const AttemptEnd end = GoOn();
  ASSERT_NE(end.error, nullptr);
  EXPECT_EQ(end.error->error().error(), static_cast<int>(Error::kCancelled));
  EXPECT_EQ(end.exit_code, 9);
  EXPECT_FALSE(OutputExists());
}

TEST_F(SteppedJobTest, AStrangersSigtermCancelsNothing) {
  AwaitFirstWrite();
  kill(observer_.pid(), SIGTERM);
  const AttemptEnd end = GoOn();
  EXPECT_EQ(end.signal, SIGTERM);
  EXPECT_EQ(end.error, nullptr) << end.error->error().message();
  EXPECT_EQ(end.result, nullptr);
  EXPECT_FALSE(OutputExists());
}

// A worker whose daemon is the test.
class BareWorkerTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (!reaped_) {
      kill(process_.pid, SIGKILL);
      waitpid(process_.pid, nullptr, 0);
    }
  }

  void Send(const std::string& bytes) {
    ASSERT_EQ(send(process_.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  v1::WorkerFrame Receive() {
    for (;;) {
      auto frame = reader_.Next<v1::WorkerFrame>();
      EXPECT_TRUE(frame.ok());
      if (!frame.ok()) return {};
      if (frame->has_value()) return **frame;
      pollfd polled = {process_.socket.get(), POLLIN, 0};
      EXPECT_EQ(poll(&polled, 1, 60'000), 1) << "the worker is silent";
      std::array<char, 4096> bytes;
      const ssize_t size = recv(process_.socket.get(), bytes.data(), bytes.size(), 0);
      if (size <= 0) return {};
      reader_.Append({bytes.data(), static_cast<size_t>(size)});
    }
  }
  // The wait status.
  int AwaitEnd() {
    pollfd polled = {process_.pidfd.get(), POLLIN, 0};
    EXPECT_EQ(poll(&polled, 1, 60'000), 1) << "the worker does not end";
    int status = 0;
    reaped_ = waitpid(process_.pid, &status, WNOHANG) == process_.pid;
    EXPECT_TRUE(reaped_);
    return status;
  }

  WorkerProcess process_ = SpawnWorker(Worker()).value();
  FrameReader reader_;
  bool reaped_ = false;
};

TEST_F(BareWorkerTest, GreetsAndEndsWithTheDaemon) {
  EXPECT_TRUE(Receive().has_hello());
  process_.socket.Close();
  EXPECT_TRUE(WIFEXITED(AwaitEnd()));
}

TEST_F(BareWorkerTest, EndsWithTheThreadThatStartedIt) {
  kill(process_.pid, SIGKILL);
  waitpid(process_.pid, nullptr, 0);
  std::thread([this] {
    process_ = SpawnWorker(Worker()).value();
    EXPECT_TRUE(Receive().has_hello());
  }).join();
  const int status = AwaitEnd();
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(BareWorkerTest, EndsOnNonsense) {
  EXPECT_TRUE(Receive().has_hello());
  Send(std::string("\xff\xff\xff\xff", 4));
  EXPECT_TRUE(WIFEXITED(AwaitEnd()));
}

TEST_F(BareWorkerTest, StopInsteadOfWorkIsACancelledJob) {
  EXPECT_TRUE(Receive().has_hello());
  v1::DaemonFrame stop;
  stop.mutable_stop();
  Send(EncodeFrame(stop).value());
  EXPECT_TRUE(Receive().has_heartbeat());
  EXPECT_EQ(Receive().error().error().error(), static_cast<int>(Error::kCancelled));
  const int status = AwaitEnd();
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 9);
}

TEST_F(BareWorkerTest, TellsOfACrash) {
  EXPECT_TRUE(Receive().has_hello());
  kill(process_.pid, SIGBUS);
  const int status = AwaitEnd();
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGBUS);
  std::array<char, 4096> log;
  const ssize_t size = read(process_.log.get(), log.data(), log.size());
  ASSERT_GT(size, 0);
  EXPECT_TRUE(std::string_view(log.data(), static_cast<size_t>(size))
                  .starts_with("quantize-worker: SIGBUS (signal 7) at address 0x"));
}

TEST_F(BareWorkerTest, TheKernelTakesItFirstWhenMemoryRunsOut) {
  EXPECT_TRUE(Receive().has_hello());
  std::ifstream file("/proc/" + std::to_string(process_.pid) + "/oom_score_adj");
  int adjustment = 0;
  file >> adjustment;
  EXPECT_EQ(adjustment, 500);
}

TEST(WorkerProgramTest, TellsItsVersionAndRefusesToBeCalledByHand) {
  const auto version = testing::RunProcess({Worker(), "--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out, "quantize-worker " QUANTIZED_VERSION "\n");
  EXPECT_EQ(testing::RunProcess({Worker()}).exit_code, 2);
  const auto nonsense = testing::RunProcess({Worker(), "--nonsense"});
  EXPECT_EQ(nonsense.exit_code, 2);
  EXPECT_EQ(nonsense.out, "");
}

}  // namespace
}  // namespace quantized
