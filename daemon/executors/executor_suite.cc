#include "daemon/executors/executor_suite.h"

#include <signal.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/mutex.h"
#include "gmock/gmock.h"
#include "tests/support/paths.h"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;
using namespace std::chrono_literals;

// Keeps what it is told and lets the test wait for it.
class Recorder final : public AttemptObserver {
 public:
  void OnFrame(const v1::WorkerFrame& frame) override {
    MutexLock lock(mutex_);
    EXPECT_FALSE(end_.has_value()) << "a frame after the end";
    lines_.push_back(frame.message().line());
    changed_.NotifyAll();
  }
  void OnRunning(int64_t pid, uint64_t pid_start_ticks) override {
    MutexLock lock(mutex_);
    pids_.push_back(pid);
    EXPECT_GT(pid_start_ticks, 0u);
    changed_.NotifyAll();
  }
  void OnEnd(AttemptEnd end) override {
    MutexLock lock(mutex_);
    EXPECT_FALSE(end_.has_value()) << "two ends";
    end_ = std::move(end);
    changed_.NotifyAll();
  }

  int64_t AwaitRunning() {
    Await([this] { return !pids_.empty(); });
    MutexLock lock(mutex_);
    return pids_.front();
  }
  size_t programs() {
    MutexLock lock(mutex_);
    return pids_.size();
  }
  void AwaitLine(const std::string& line) {
    Await([&] { return std::find(lines_.begin(), lines_.end(), line) != lines_.end(); });
  }
  const AttemptEnd& AwaitEnd() {
    Await([this] { return end_.has_value(); });
    MutexLock lock(mutex_);
    return *end_;
  }
  std::vector<std::string> lines() {
    MutexLock lock(mutex_);
    return lines_;
  }
  bool ended() {
    MutexLock lock(mutex_);
    return end_.has_value();
  }

 private:
  template <typename Condition>
  void Await(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    MutexLock lock(mutex_);
    while (!condition()) {
      if (!changed_.WaitUntil(mutex_, deadline)) {
        ADD_FAILURE() << "nothing happened in a minute";
        std::abort();
      }
    }
  }

  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> lines_;
  std::vector<int64_t> pids_;
  std::optional<AttemptEnd> end_;
};

// One attempt of a worker that behaves as `behaviour`; with `fetcher`, at a model of the Hub.
class Trial {
 public:
  Trial(ExecutorFactory factory, const std::string& behaviour,
        const ExecutorTestLimits& limits = {}, const std::string& fetcher = "") {
    executor_ = factory(Program(behaviour), fetcher.empty() ? "" : Program(fetcher), limits);
    v1::StartAttempt start;
    start.set_job_id("J1");
    start.set_attempt(2);
    if (fetcher.empty()) {
      start.mutable_spec()->mutable_noop();
    } else {
      start.mutable_spec()->mutable_quantize()->mutable_hub();
      start.set_hub_token("hf_secret");
    }
    auto attempt = executor_->Start(start, LogPath(), recorder_);
    EXPECT_TRUE(attempt.ok()) << attempt.status();
    if (attempt.ok()) attempt_ = std::move(*attempt);
  }

  Recorder& recorder() { return recorder_; }
  const AttemptEnd& AwaitEnd() { return recorder_.AwaitEnd(); }
  Attempt& attempt() { return *attempt_; }
  void Destroy() { attempt_.reset(); }
  std::string Log() const {
    std::ifstream file(LogPath());
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

 private:
  std::string LogPath() const { return folder_.path() / "logs" / "2.log"; }
  std::filesystem::path Program(const std::string& behaviour) const {
    const std::filesystem::path program = folder_.path() / behaviour;
    if (!std::filesystem::exists(program)) {
      std::filesystem::create_symlink(testing::BinDir() / "fake-worker", program);
    }
    return program;
  }

  testing::TempDir folder_;
  Recorder recorder_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Attempt> attempt_;
};

TEST_P(ExecutorSuite, DeliversWorkAndResult) {
  Trial trial(GetParam(), "ok");
  const AttemptEnd& end = trial.AwaitEnd();
  EXPECT_TRUE(end.result != nullptr && end.result->has_noop());
  EXPECT_EQ(end.error, nullptr);
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_EQ(end.signal, 0);
  EXPECT_FALSE(end.stopped_by_us);
  EXPECT_FALSE(end.unresponsive);
  EXPECT_EQ(end.peak_memory_bytes, 123u << 20);
  EXPECT_EQ(end.log_tail, "all is well\n");
  EXPECT_EQ(trial.Log(), "all is well\n");
  EXPECT_THAT(trial.recorder().lines(), ElementsAre("job J1"));
  EXPECT_GT(trial.recorder().AwaitRunning(), 0);
  EXPECT_EQ(trial.recorder().programs(), 1u);
}

TEST_P(ExecutorSuite, FetchesAModelOfTheHubFirst) {
  Trial trial(GetParam(), "work", {}, "fetch");
  const AttemptEnd& end = trial.AwaitEnd();
  ASSERT_NE(end.result, nullptr);
  EXPECT_TRUE(end.result->has_noop());
  EXPECT_EQ(end.peak_memory_bytes, 200u << 20) << "of whoever took more";
  EXPECT_THAT(trial.recorder().lines(), ElementsAre("job J1", "model '', token 'hf_secret'",
                                                    "job J1", "model '/fetched', token ''"));
  EXPECT_EQ(trial.recorder().programs(), 2u);
  EXPECT_EQ(trial.Log(), "fetching\nworking\n");
}

TEST_P(ExecutorSuite, AFetcherThatFailsOrCrashesEndsTheAttempt) {
  Trial failed(GetParam(), "work", {}, "fail");
  ASSERT_NE(failed.AwaitEnd().error, nullptr);
  EXPECT_EQ(failed.AwaitEnd().error->error().message(), "the model is odd");
  Trial crashed(GetParam(), "work", {}, "crash");
  EXPECT_EQ(crashed.AwaitEnd().signal, SIGSEGV);
  EXPECT_EQ(crashed.AwaitEnd().error, nullptr);
  for (Trial* trial : {&failed, &crashed}) {
    EXPECT_EQ(trial->AwaitEnd().result, nullptr);
    EXPECT_EQ(trial->recorder().programs(), 1u);
  }
}

TEST_P(ExecutorSuite, NobodyWorksAfterAStop) {
  Trial trial(GetParam(), "work", {}, "fetch-late");
  trial.recorder().AwaitLine("job J1");
  trial.attempt().Stop(60s);
  const AttemptEnd& end = trial.AwaitEnd();
  EXPECT_TRUE(end.stopped_by_us);
  EXPECT_EQ(end.result, nullptr);
  EXPECT_EQ(trial.recorder().programs(), 1u);
}

TEST_P(ExecutorSuite, PutsPortionsTogether) {
  Trial trial(GetParam(), "dribble");
  EXPECT_NE(trial.AwaitEnd().result, nullptr);
  EXPECT_THAT(trial.recorder().lines(), ElementsAre("job J1", "slow 0", "slow 1", "slow 2"));
}

TEST_P(ExecutorSuite, DeliversTheWorkersError) {
  Trial trial(GetParam(), "fail");
  const AttemptEnd& end = trial.AwaitEnd();
  ASSERT_NE(end.error, nullptr);
  EXPECT_EQ(end.error->error().error(), 6);
  EXPECT_EQ(end.error->error().message(), "the model is odd");
  EXPECT_EQ(end.error->finished().quantize().outputs(0).level(), "Q8_0");
  EXPECT_EQ(end.result, nullptr);
  EXPECT_EQ(end.exit_code, 6);
}

TEST_P(ExecutorSuite, TellsSignalAndLastWordsOfACrash) {
  Trial trial(GetParam(), "crash");
  const AttemptEnd& end = trial.AwaitEnd();
  EXPECT_EQ(end.signal, SIGSEGV);
  EXPECT_EQ(end.result, nullptr);
  EXPECT_EQ(end.error, nullptr);
  EXPECT_FALSE(end.stopped_by_us);
  EXPECT_GT(end.peak_memory_bytes, 0u);
  EXPECT_EQ(end.log_tail, "about to ?[31mcrash\n");
}

TEST_P(ExecutorSuite, TellsTheExitCodeOfASilentEnd) {
  Trial trial(GetParam(), "exit-silently");
  const AttemptEnd& end = trial.AwaitEnd();
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_EQ(end.signal, 0);
  EXPECT_EQ(end.result, nullptr);
  EXPECT_EQ(end.error, nullptr);
}

TEST_P(ExecutorSuite, KillsWhoBreaksTheProtocol) {
  for (const auto& [behaviour, why] : {std::pair{"garbage", "no message of a known kind"},
                                       std::pair{"huge", "announces 2147483647 bytes"},
                                       std::pair{"hello-twice", "Hello must come first and once"},
                                       std::pair{"no-hello-first", "Hello must come first"}}) {
    SCOPED_TRACE(behaviour);
    Trial trial(GetParam(), behaviour);
    const AttemptEnd& end = trial.AwaitEnd();
    EXPECT_EQ(end.signal, SIGKILL);
    ASSERT_NE(end.error, nullptr);
    EXPECT_EQ(end.error->error().error(), static_cast<int>(Error::kWorkerCrashed));
    EXPECT_THAT(end.error->error().message(), HasSubstr(why));
  }
}

TEST_P(ExecutorSuite, RefusesAnotherVersion) {
  Trial trial(GetParam(), "wrong-version");
  const AttemptEnd& end = trial.AwaitEnd();
  ASSERT_NE(end.error, nullptr);
  EXPECT_EQ(end.error->error().error(), static_cast<int>(Error::kVersionSkew));
  EXPECT_THAT(end.error->error().suggestion(), HasSubstr("server stop"));
  EXPECT_THAT(trial.recorder().lines(), ElementsAre());
}

TEST_P(ExecutorSuite, KillsTheUnresponsive) {
  for (const char* behaviour : {"mute", "never-hello"}) {
    SCOPED_TRACE(behaviour);
    Trial trial(GetParam(), behaviour, {.heartbeat_timeout = 300ms});
    const AttemptEnd& end = trial.AwaitEnd();
    EXPECT_TRUE(end.unresponsive);
    EXPECT_EQ(end.signal, SIGKILL);
    EXPECT_FALSE(end.stopped_by_us);
  }
}

TEST_P(ExecutorSuite, StopsByFrameAndSignal) {
  Trial trial(GetParam(), "obey");
  trial.recorder().AwaitLine("job J1");
  trial.attempt().Stop(60s);
  trial.attempt().Stop(60s);  // once is enough, twice does no harm
  const AttemptEnd& end = trial.AwaitEnd();
  EXPECT_TRUE(end.stopped_by_us);
  ASSERT_NE(end.error, nullptr);
  EXPECT_EQ(end.error->error().message(), "stopped by frame and by signal 15");
  EXPECT_EQ(end.exit_code, 9);
}

TEST_P(ExecutorSuite, KillsWhoIgnoresStopOnceTheGraceIsOver) {
  Trial trial(GetParam(), "ignore-stop");
  trial.recorder().AwaitLine("job J1");
  trial.attempt().Stop(50ms);
  const AttemptEnd& end = trial.AwaitEnd();
  EXPECT_TRUE(end.stopped_by_us);
  EXPECT_EQ(end.signal, SIGKILL);
  EXPECT_FALSE(end.unresponsive);
}

TEST_P(ExecutorSuite, StopBeforeHelloEndsIt) {
  Trial trial(GetParam(), "never-hello");
  trial.attempt().Stop(60s);
  const AttemptEnd& end = trial.AwaitEnd();
  EXPECT_TRUE(end.stopped_by_us);
  EXPECT_EQ(end.signal, SIGTERM);
}

TEST_P(ExecutorSuite, StopAfterTheEndDoesNothing) {
  Trial trial(GetParam(), "ok");
  EXPECT_FALSE(trial.AwaitEnd().stopped_by_us);
  trial.attempt().Stop(0ms);
}

TEST_P(ExecutorSuite, KillsWhoStaysAfterTheLastWord) {
  Trial trial(GetParam(), "linger", {.exit_grace = 50ms});
  const AttemptEnd& end = trial.AwaitEnd();
  EXPECT_NE(end.result, nullptr) << "the work was done all the same";
  EXPECT_EQ(end.signal, SIGKILL);
}

TEST_P(ExecutorSuite, KillsWhoClosesTheSocketAndStays) {
  Trial trial(GetParam(), "close-socket", {.exit_grace = 50ms});
  const AttemptEnd& end = trial.AwaitEnd();
  EXPECT_EQ(end.signal, SIGKILL);
  EXPECT_EQ(end.result, nullptr);
}

TEST_P(ExecutorSuite, CapsTheLog) {
  Trial trial(GetParam(), "flood", {.max_log_bytes = 10'000});
  const AttemptEnd& end = trial.AwaitEnd();
  EXPECT_NE(end.result, nullptr);
  EXPECT_LT(trial.Log().size(), 10'200u);
  EXPECT_THAT(trial.Log(), HasSubstr("more than 10000 bytes"));
  EXPECT_LE(end.log_tail.size(), 4096u);
  EXPECT_THAT(end.log_tail, StartsWith("fff"));
}

TEST_P(ExecutorSuite, LeavesNoProcessBehind) {
  Trial trial(GetParam(), "orphan");
  EXPECT_NE(trial.AwaitEnd().result, nullptr);
  const std::string line = trial.recorder().lines().at(1);
  ASSERT_THAT(line, StartsWith("child "));
  const pid_t child = std::stoi(line.substr(6));
  EXPECT_TRUE(testing::WaitUntil([&] {
    const char state = testing::ProcessState(child);
    return state == 0 || state == 'Z';
  }));
}

TEST_P(ExecutorSuite, GivesTheWorkerWhatItNeedsAndNoMore) {
  setenv("HF_TOKEN", "hf_secret", 1);
  setenv("QUANTIZED_TEST_VARIABLE", "kept", 1);
  Trial trial(GetParam(), "tell");
  EXPECT_NE(trial.AwaitEnd().result, nullptr);
  unsetenv("HF_TOKEN");
  unsetenv("QUANTIZED_TEST_VARIABLE");
  const std::vector<std::string> lines = trial.recorder().lines();
  EXPECT_THAT(lines, IsSupersetOf({"fd 0", "fd 1", "fd 2", "fd 3", "folder /",
                                   "environment QUANTIZED_TEST_VARIABLE=kept",
                                   "leads its session 1", "signals are default 1"}));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("hf_secret"))));
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                          [](const std::string& line) { return line.starts_with("fd "); }),
            4);
}

TEST_P(ExecutorSuite, DestroyingAnAttemptKillsItWithoutAWord) {
  Trial trial(GetParam(), "ignore-stop");
  const pid_t pid = static_cast<pid_t>(trial.recorder().AwaitRunning());
  trial.Destroy();
  EXPECT_EQ(testing::ProcessState(pid), 0);  // reaped
  EXPECT_FALSE(trial.recorder().ended());
}

TEST_P(ExecutorSuite, RunsManyAtOnce) {
  std::vector<std::unique_ptr<Trial>> runs;
  for (int i = 0; i < 16; ++i) runs.push_back(std::make_unique<Trial>(GetParam(), "ok"));
  for (const auto& trial : runs) EXPECT_NE(trial->AwaitEnd().result, nullptr);
}

}  // namespace
}  // namespace quantized
