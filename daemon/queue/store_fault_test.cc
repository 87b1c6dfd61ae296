// The N-th operation of the store's files fails, for N = 0, 1, 2, …: what was acknowledged stays,
// what was told is true, and where the fault passes, the work goes on by itself.
#include "core/base/error.h"
#include "core/base/mutex.h"
#include "daemon/queue/history_test.h"
#include "daemon/queue/queue_test.h"
#include "tests/support/faulty_vfs.h"

namespace quantized {
namespace {

using testing::QuantizeRequest;

// Either the work is done or a fault came.
class DoneOrFault {
 public:
  void Signal() {
    MutexLock lock(mutex_);
    signalled_ = true;
    changed_.NotifyAll();
  }
  void Wait() {
    MutexLock lock(mutex_);
    while (!signalled_) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool signalled_ ABSL_GUARDED_BY(mutex_) = false;
};

void PlayWorker(testing::FakeRun& run) {
  run.Hello();
  run.SayProgress(1, 2);
  run.SayCheckpoint(1);
  v1::WorkerFrame phase;
  phase.mutable_phase()->set_phase(v1::VALIDATE);
  run.Say(phase);
  if (run.start().attempt() == 1 && run.start().spec().quantize().overwrite()) {
    run.Crash(11);
  } else {
    run.Succeed();
  }
}

class StoreFaultTest : public ::testing::Test {
 protected:
  static constexpr int kJobs = 3;

  StoreFaultTest() {
    for (int i = 0; i < kJobs; ++i) {
      requests_.push_back(QuantizeRequest({"/out/" + std::to_string(i)}));
      requests_.back().mutable_spec()->mutable_quantize()->set_overwrite(i == 1);  // crashes once
    }
  }

  JobQueue::Options Options(const testing::TempDir& dir, const std::string& vfs) const {
    return {.store = {.path = dir.path() / "quantized.db", .vfs = vfs},
            .logs_dir = dir.path() / "logs",
            .slots = 2,
            .store_retry = std::chrono::milliseconds(1)};
  }
  static absl::StatusOr<v1::Job> Submit(JobQueue& queue, const v1::SubmitJobRequest& request) {
    return testing::Await<v1::Job>([&](auto reply) { queue.Submit(request, reply); });
  }
  static std::vector<v1::JobEvent> Drain(JobQueue& queue, const std::string& id) {
    const auto watch = queue.Watch(id, 0);
    std::vector<v1::JobEvent> events;
    while (true) {
      const auto event = testing::Await<SharedEvent>([&](auto reply) { watch->Next(reply); });
      EXPECT_TRUE(event.ok()) << event.status();
      if (!event.ok() || *event == nullptr) return events;
      if (!(*event)->ephemeral()) events.push_back(**event);
    }
  }
  // Submits what is missing and sees that everything ends well.
  void FinishAll(const testing::TempDir& dir, const std::vector<std::string>& acknowledged) {
    testing::FakeExecutor executor(&PlayWorker);
    auto queue = JobQueue::Start(Options(dir, ""), executor);
    ASSERT_TRUE(queue.ok()) << queue.status();
    for (int i = 0; i < kJobs; ++i) {
      const auto job = Submit(**queue, requests_[i]);
      ASSERT_TRUE(job.ok()) << job.status();
      if (!acknowledged[i].empty()) {
        EXPECT_EQ(job->id(), acknowledged[i]);
      }
      const std::vector<v1::JobEvent> events = Drain(**queue, job->id());
      const auto now =
          testing::Await<v1::Job>([&](auto reply) { (*queue)->Get(job->id(), reply); });
      testing::CheckHistory(events, *now);
      EXPECT_EQ(now->state(), v1::Job::SUCCEEDED);
    }
  }

  std::vector<v1::SubmitJobRequest> requests_;
};

// From the N-th operation on everything fails, and what was not synced is lost: a crash of the
// machine at that moment.
TEST_F(StoreFaultTest, NothingAcknowledgedIsLostInACrash) {
  bool untouched = false;
  int64_t operation = 0;
  for (; !untouched; ++operation) {
    SCOPED_TRACE(operation);
    testing::TempDir dir;
    DoneOrFault done_or_fault;
    testing::FaultyVfs vfs([&] { done_or_fault.Signal(); });
    vfs.FailAt(operation, /*forever=*/true);
    std::vector<std::string> acknowledged(kJobs);
    {
      testing::FakeExecutor executor(&PlayWorker);
      JobQueue::Options options = Options(dir, vfs.name());
      options.on_idle = [&] { done_or_fault.Signal(); };
      auto queue = JobQueue::Start(std::move(options), executor);
      for (int i = 0; queue.ok() && i < kJobs; ++i) {
        const auto job = Submit(**queue, requests_[i]);
        if (job.ok()) acknowledged[i] = job->id();
      }
      if (queue.ok() && !vfs.failed()) done_or_fault.Wait();
    }
    untouched = !vfs.failed();
    vfs.CutPower();
    FinishAll(dir, acknowledged);
    if (HasFailure()) return;
  }
  EXPECT_GT(operation, 50);
}

// One operation fails and the next works: nobody has to restart anything.
TEST_F(StoreFaultTest, AFaultThatPassesDelaysAndNothingElse) {
  for (const bool disk_full : {false, true}) {
    bool untouched = false;
    testing::TempDir first_dir;
    int64_t first = 0;  // opening is another test's
    {
      testing::FaultyVfs vfs;
      testing::FakeExecutor executor(&PlayWorker);
      auto queue = JobQueue::Start(Options(first_dir, vfs.name()), executor);
      ASSERT_TRUE(queue.ok());
      first = vfs.operations();
    }
    for (int64_t operation = first; !untouched; ++operation) {
      SCOPED_TRACE(operation);
      testing::TempDir dir;
      testing::FaultyVfs vfs;
      testing::FakeExecutor executor(&PlayWorker);
      auto queue = JobQueue::Start(Options(dir, vfs.name()), executor);
      ASSERT_TRUE(queue.ok());
      vfs.FailAt(operation, /*forever=*/false, disk_full);
      for (const v1::SubmitJobRequest& request : requests_) {
        absl::StatusOr<v1::Job> job = Submit(**queue, request);
        if (!job.ok()) {
          EXPECT_EQ(ErrorOf(job.status()), disk_full ? Error::kDiskFull : Error::kIo);
          job = Submit(**queue, request);
        }
        ASSERT_TRUE(job.ok()) << job.status();
        const std::vector<v1::JobEvent> events = Drain(**queue, job->id());
        ASSERT_FALSE(events.empty());
        EXPECT_EQ(events.back().finished().state(), v1::Job::SUCCEEDED);
      }
      untouched = !vfs.failed();
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace quantized
