// A queue that is stopped or dies, and the one that comes after it.
#include "daemon/queue/recovery.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"
#include "daemon/queue/history_test.h"
#include "daemon/queue/leftover.h"
#include "daemon/queue/queue_test.h"
#include "tests/support/faulty_vfs.h"

namespace quantized {
namespace {

using testing::NoopRequest;
using testing::QuantizeRequest;

class RecoveryTest : public testing::QueueTest {
 protected:
  JobQueue::Options OverVfs(const testing::FaultyVfs& vfs) const {
    JobQueue::Options options = Options();
    options.store.vfs = vfs.name();
    return options;
  }
  // Ends the queue without letting it write another byte, as SIGKILL does.
  void Die(testing::FaultyVfs& vfs) {
    vfs.FailAt(vfs.operations(), /*forever=*/true);
    queue_.reset();
  }
};

// A process that waits to be killed, in place of a worker.
class Sleeper {
 public:
  Sleeper() {
    char program[] = "sleep", argument[] = "1000";
    char* argv[] = {program, argument, nullptr};
    EXPECT_EQ(posix_spawnp(&pid_, "sleep", nullptr, nullptr, argv, environ), 0);
  }
  ~Sleeper() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  int64_t pid() const { return pid_; }
  uint64_t start_ticks() const { return ProcessStartTicks(pid_).value(); }
  // A killed process of ours stays a zombie until it is reaped.
  bool Gone() const {
    siginfo_t info = {};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid_;
  }

 private:
  pid_t pid_ = 0;
};

TEST(EndLeftoverProcess, KillsTheVeryProcessAndNoOther) {
  Sleeper sleeper;
  const std::chrono::seconds patience(60);
  EXPECT_TRUE(EndLeftoverProcess(sleeper.pid(), sleeper.start_ticks() + 1, patience).ok());
  EXPECT_FALSE(sleeper.Gone());
  EXPECT_TRUE(EndLeftoverProcess(sleeper.pid(), sleeper.start_ticks(), patience).ok());
  EXPECT_TRUE(sleeper.Gone());
  EXPECT_TRUE(EndLeftoverProcess(0x3FFFFFFF, 1, patience).ok());
}

TEST_F(RecoveryTest, APlannedStopKeepsJobsAndCountsNothing) {
  Start();
  const std::string running = Submit(QuantizeRequest({"/out/a"})).value().id();
  const std::string waiting = Submit(QuantizeRequest({"/out/b"})).value().id();
  auto run = executor_.NextRun();
  run->Hello();
  Reached(running, v1::Job::RUNNING);
  queue_->Stop();
  EXPECT_TRUE(run->stopped());
  Start();
  // The one that had begun goes on first.
  auto again = executor_.NextRun();
  EXPECT_EQ(again->start().job_id(), running);
  EXPECT_EQ(again->start().attempt(), 2);
  again->Hello();
  again->Succeed();
  auto other = executor_.NextRun();
  EXPECT_EQ(other->start().job_id(), waiting);
  other->Hello();
  other->Succeed();
  const std::vector<v1::JobEvent> events = Drain(*queue_->Watch(running, 0));
  testing::CheckHistory(events, Get(running).value());
  EXPECT_EQ(events[3].state().reason(), "DAEMON_STOPPED");
}

TEST_F(RecoveryTest, AWorkerThatDoesNotStopIsKilledAndItsJobKept) {
  testing::FakeExecutor deaf(nullptr, [](testing::FakeRun&) {});
  JobQueue::Options options = Options();
  options.stop_grace = std::chrono::milliseconds(-2000);  // the queue's own reserve is over at once
  queue_ = JobQueue::Start(std::move(options), deaf).value();
  const std::string id = Submit(NoopRequest()).value().id();
  auto run = deaf.NextRun();
  run->Hello();
  Reached(id, v1::Job::RUNNING);
  queue_->Stop();
  run->Succeed();  // nobody hears it
  Start();
  EXPECT_EQ(executor_.NextRun()->start().attempt(), 2);
}

TEST_F(RecoveryTest, AJobGoesOnAfterTheDaemonDied) {
  std::string id;
  for (int life = 1; life <= 20; ++life) {
    testing::FaultyVfs vfs;
    Start(OverVfs(vfs));
    if (id.empty()) id = Submit(QuantizeRequest()).value().id();
    auto run = executor_.NextRun();
    EXPECT_EQ(run->start().attempt(), life);
    run->Hello();
    while (Get(id).value().state() != v1::Job::RUNNING) continue;
    Die(vfs);
  }
  Start();
  auto run = executor_.NextRun();
  run->Hello();
  run->Succeed(/*peak_memory_bytes=*/7);
  const std::vector<v1::JobEvent> events = Drain(*queue_->Watch(id, 0));
  const v1::Job job = Get(id).value();
  testing::CheckHistory(events, job);
  EXPECT_EQ(job.result().quantize().outputs(0).attempts(), 21);
  EXPECT_EQ(events[3].state().reason(), "DAEMON_RESTARTED");
}

// A job of the Hub that was submitted with a token.
v1::SubmitJobRequest HubRequest() {
  v1::SubmitJobRequest request = QuantizeRequest();
  v1::QuantizeSpec& spec = *request.mutable_spec()->mutable_quantize();
  spec.clear_model_path();
  v1::HubModel& hub = *spec.mutable_hub();
  hub.set_repository("org/name");
  hub.set_revision("main");
  hub.set_commit("0123456789012345678901234567890123456789");
  hub.set_endpoint("https://hub");
  hub.set_cache_dir("/cache");
  hub.set_has_token(true);
  request.set_hub_token("hf_secret");
  return request;
}

TEST_F(RecoveryTest, ALostTokenIsWaitedForUntilItsClientSendsItAgain) {
  const v1::SubmitJobRequest request = HubRequest();
  Start();
  const std::string id = Submit(request).value().id();
  executor_.NextRun()->Hello();
  Reached(id, v1::Job::RUNNING);
  queue_->Stop();
  Start();
  // Others go ahead.
  const std::string other = Submit(NoopRequest()).value().id();
  auto run = executor_.NextRun();
  EXPECT_EQ(run->start().job_id(), other);
  run->Hello();
  run->Succeed();
  EXPECT_EQ(Get(id).value().state(), v1::Job::PENDING);
  EXPECT_EQ(Submit(request).value().id(), id);
  run = executor_.NextRun();
  EXPECT_EQ(run->start().job_id(), id);
  EXPECT_EQ(run->start().hub_token(), "hf_secret");
}

TEST_F(RecoveryTest, ATokenThatDoesNotComeIsDoneWithout) {
  Start();
  const std::string id = Submit(HubRequest()).value().id();
  EXPECT_EQ(executor_.NextRun()->start().hub_token(), "hf_secret");
  queue_->Stop();
  JobQueue::Options options = Options();
  options.token_patience = std::chrono::milliseconds(20);
  Start(std::move(options));
  auto run = executor_.NextRun();
  EXPECT_EQ(run->start().job_id(), id);
  EXPECT_EQ(run->start().hub_token(), "");
}

TEST_F(RecoveryTest, AJobThatNeverGetsAnywhereIsGivenUp) {
  std::string id;
  for (int life = 1; life <= kMaxInterruptions; ++life) {
    testing::FaultyVfs vfs;
    Start(OverVfs(vfs));
    if (id.empty()) id = Submit(NoopRequest()).value().id();
    executor_.NextRun();
    Die(vfs);
  }
  Start();
  const v1::Job job = Get(id).value();
  EXPECT_EQ(job.state(), v1::Job::FAILED);
  EXPECT_EQ(job.reason(), "INTERRUPTED_TOO_OFTEN");
}

TEST_F(RecoveryTest, ACancelOutlivesTheDaemon) {
  testing::FaultyVfs vfs;
  testing::FakeExecutor deaf(nullptr, [](testing::FakeRun&) {});
  JobQueue::Options options = OverVfs(vfs);
  options.stop_grace = std::chrono::milliseconds(-2000);
  queue_ = JobQueue::Start(std::move(options), deaf).value();
  const std::string id = Submit(NoopRequest()).value().id();
  deaf.NextRun()->Hello();
  EXPECT_EQ(Cancel(id).value().state(), v1::Job::CANCELLING);
  Die(vfs);
  Start();
  EXPECT_EQ(Get(id).value().state(), v1::Job::CANCELLED);
  testing::CheckHistory(Drain(*queue_->Watch(id, 0)), Get(id).value());
}

TEST_F(RecoveryTest, LeftoverWorkersAreGoneBeforeTheNextAttempt) {
  Sleeper worker;
  testing::FaultyVfs vfs;
  Start(OverVfs(vfs));
  const std::string id = Submit(NoopRequest()).value().id();
  executor_.NextRun()->Hello(worker.pid(), worker.start_ticks());
  while (Get(id).value().state() != v1::Job::RUNNING) continue;
  Die(vfs);
  EXPECT_FALSE(worker.Gone());
  Start();
  EXPECT_TRUE(worker.Gone());
  EXPECT_EQ(executor_.NextRun()->start().attempt(), 2);
}

TEST_F(RecoveryTest, TimeAndMemoryAddUpOverAttempts) {
  Start();
  const std::string id = Submit(QuantizeRequest()).value().id();
  auto first = executor_.NextRun();
  first->Hello();
  AttemptEnd crash;
  crash.signal = SIGSEGV;
  crash.peak_memory_bytes = 500;
  first->End(std::move(crash));
  auto second = executor_.NextRun();
  second->Hello();
  second->Succeed(/*peak_memory_bytes=*/300);
  Drain(*queue_->Watch(id, 0));
  queue_->Stop();
  auto store = Store::Open(Options().store).value();
  const StoredJob job = store->FindJob(id).value().value();
  const int64_t sum = store->FindAttempt(job.row, 1).value()->run_us +
                      store->FindAttempt(job.row, 2).value()->run_us;
  EXPECT_EQ(job.run_us, sum);
  EXPECT_DOUBLE_EQ(job.job.result().quantize().outputs(0).duration_seconds(),
                   static_cast<double>(sum) / 1e6);
  EXPECT_EQ(job.job.result().quantize().outputs(0).peak_memory_bytes(), 500u);
}

}  // namespace
}  // namespace quantized
