#include "tests/support/fake_executor.h"

#include <utility>

#include "core/base/error.h"
#include "daemon/worker/error_detail.h"

namespace quantized::testing {

class FakeAttempt final : public Attempt {
 public:
  FakeAttempt(FakeExecutor& executor, std::shared_ptr<FakeRun> run)
      : executor_(executor), run_(std::move(run)) {}
  ~FakeAttempt() override {
    MutexLock lock(run_->mutex_);
    run_->observer_ = nullptr;
  }
  void Stop(std::chrono::milliseconds) override {
    {
      MutexLock lock(run_->mutex_);
      if (std::exchange(run_->stopped_, true)) return;
    }
    executor_.Later([run = run_, &on_stop = executor_.on_stop_] {
      if (on_stop) return on_stop(*run);
      run->Fail(MakeError(Error::kCancelled, "the job was cancelled"));
    });
  }

 private:
  FakeExecutor& executor_;
  const std::shared_ptr<FakeRun> run_;  // a test may hold it longer
};

bool FakeRun::stopped() const {
  MutexLock lock(mutex_);
  return stopped_;
}

void FakeRun::Hello(int64_t pid, uint64_t start_ticks) {
  MutexLock lock(mutex_);
  if (observer_ != nullptr) observer_->OnRunning(pid, start_ticks);
}

void FakeRun::Say(const v1::WorkerFrame& frame) {
  MutexLock lock(mutex_);
  if (observer_ != nullptr) observer_->OnFrame(frame);
}

void FakeRun::SayProgress(uint64_t done, uint64_t total) {
  v1::WorkerFrame frame;
  frame.mutable_progress()->set_done(done);
  frame.mutable_progress()->set_total(total);
  Say(frame);
}

void FakeRun::SayCheckpoint(uint64_t units) {
  v1::WorkerFrame frame;
  frame.mutable_checkpoint()->set_units(units);
  frame.mutable_checkpoint()->set_path("/checkpoint");
  Say(frame);
}

void FakeRun::Succeed(uint64_t peak_memory_bytes) {
  AttemptEnd end;
  end.peak_memory_bytes = peak_memory_bytes;
  end.result = std::make_unique<v1::JobResult>(ResultOf(start_.spec().quantize().outputs_size()));
  End(std::move(end));
}

void FakeRun::Fail(const absl::Status& status, int finished) {
  AttemptEnd end;
  end.error = std::make_unique<v1::AttemptError>();
  *end.error->mutable_error() = ErrorDetailOf(status);
  if (finished > 0) *end.error->mutable_finished() = ResultOf(finished);
  end.exit_code = 1;
  End(std::move(end));
}

v1::JobResult FakeRun::ResultOf(int outputs) const {
  v1::JobResult result;
  if (!start_.spec().has_quantize()) {
    result.mutable_noop();
    return result;
  }
  v1::QuantizeResults& results = *result.mutable_quantize();
  for (int i = 0; i < outputs; ++i) {
    const v1::OutputSpec& output = start_.spec().quantize().outputs(i);
    v1::QuantizeResult& one = *results.add_outputs();
    one.set_output_path(output.path());
    one.set_level(output.level());
  }
  return result;
}

void FakeRun::Crash(int signal) {
  AttemptEnd end;
  end.signal = signal;
  end.log_tail = "last words";
  End(std::move(end));
}

void FakeRun::End(AttemptEnd end) {
  MutexLock lock(mutex_);
  end.stopped_by_us = stopped_;
  AttemptObserver* observer = std::exchange(observer_, nullptr);
  if (observer != nullptr) observer->OnEnd(std::move(end));
}

FakeExecutor::FakeExecutor(Play on_start, Play on_stop)
    : on_start_(std::move(on_start)), on_stop_(std::move(on_stop)), thread_([this] { Loop(); }) {}

FakeExecutor::~FakeExecutor() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

absl::StatusOr<std::unique_ptr<Attempt>> FakeExecutor::Start(const v1::StartAttempt& start,
                                                             const std::string& log_path,
                                                             AttemptObserver& observer) {
  auto run = std::make_shared<FakeRun>(start, log_path, observer);
  {
    MutexLock lock(mutex_);
    if (!start_status_.ok()) return start_status_;
    ++started_;
    if (!on_start_) runs_.push_back(run);
    changed_.NotifyAll();
  }
  if (on_start_) Later([this, run] { on_start_(*run); });
  return std::make_unique<FakeAttempt>(*this, std::move(run));
}

std::shared_ptr<FakeRun> FakeExecutor::NextRun() {
  MutexLock lock(mutex_);
  while (runs_.empty()) changed_.Wait(mutex_);
  std::shared_ptr<FakeRun> run = std::move(runs_.front());
  runs_.pop_front();
  return run;
}

int FakeExecutor::started() const {
  MutexLock lock(mutex_);
  return started_;
}

void FakeExecutor::FailStarts(absl::Status status) {
  MutexLock lock(mutex_);
  start_status_ = std::move(status);
}

void FakeExecutor::Later(std::function<void()> work) {
  MutexLock lock(mutex_);
  work_.push_back(std::move(work));
  changed_.NotifyAll();
}

void FakeExecutor::Loop() {
  while (true) {
    std::function<void()> work;
    {
      MutexLock lock(mutex_);
      while (work_.empty() && !stopping_) changed_.Wait(mutex_);
      if (work_.empty()) return;
      work = std::move(work_.front());
      work_.pop_front();
    }
    work();
  }
}

}  // namespace quantized::testing
