// An executor without processes: a test, or a function run on the executor's own thread, plays the
// workers. Thread-safe. Runs may outlive the executor and their attempts.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"
#include "daemon/executors/executor.h"

namespace quantized::testing {

// A worker that was started. What it says after its attempt was destroyed, or after its end, is
// not heard.
class FakeRun {
 public:
  FakeRun(v1::StartAttempt start, std::string log_path, AttemptObserver& observer)
      : start_(std::move(start)), log_path_(std::move(log_path)), observer_(&observer) {}

  const v1::StartAttempt& start() const { return start_; }
  const std::string& log_path() const { return log_path_; }
  bool stopped() const;

  // Says Hello, as a process that does not exist (or as `pid`).
  void Hello(int64_t pid = 0, uint64_t start_ticks = 0);
  void Say(const v1::WorkerFrame& frame);
  void SayProgress(uint64_t done, uint64_t total);
  void SayCheckpoint(uint64_t units);
  // Ends with the result that fits its spec.
  void Succeed(uint64_t peak_memory_bytes = 1 << 20);
  // The first `finished` outputs of its spec are done all the same.
  void Fail(const absl::Status& status, int finished = 0);
  void Crash(int signal);
  void End(AttemptEnd end);

 private:
  friend class FakeExecutor;
  friend class FakeAttempt;

  // A result that names the first `outputs` outputs of its spec.
  v1::JobResult ResultOf(int outputs) const;

  const v1::StartAttempt start_;
  const std::string log_path_;
  mutable Mutex mutex_;
  AttemptObserver* observer_ ABSL_GUARDED_BY(mutex_);  // null: nobody hears
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

class FakeExecutor : public Executor {
 public:
  // Plays a started run, on the executor's thread.
  using Play = std::function<void(FakeRun&)>;

  // `on_start`: null leaves runs to NextRun's caller. `on_stop`: null ends a stopped run as a good
  // worker does, with kCancelled.
  explicit FakeExecutor(Play on_start = nullptr, Play on_stop = nullptr);
  ~FakeExecutor() override;

  absl::StatusOr<std::unique_ptr<Attempt>> Start(const v1::StartAttempt& start,
                                                 const std::string& log_path,
                                                 AttemptObserver& observer) override;

  // The next run that was started and that nobody has taken; waits for it.
  std::shared_ptr<FakeRun> NextRun();
  int started() const;
  // From now on Start fails with it; OK: it works again.
  void FailStarts(absl::Status status);

 private:
  friend class FakeAttempt;
  void Later(std::function<void()> work);
  void Loop();

  const Play on_start_, on_stop_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> work_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<FakeRun>> runs_ ABSL_GUARDED_BY(mutex_);
  absl::Status start_status_ ABSL_GUARDED_BY(mutex_);
  int started_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace quantized::testing
