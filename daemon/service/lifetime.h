// How long the daemon lives: until it is told to stop (signal, Shutdown), until its last job has
// ended if it was asked to stop then, or, started for one user, until nobody has used it for a
// while. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"

namespace quantized {

class Lifetime {
 public:
  // A call of a client that has not ended.
  class Call {
   public:
    explicit Call(Lifetime& lifetime) : lifetime_(lifetime) { lifetime_.AddCalls(1); }
    ~Call() { lifetime_.AddCalls(-1); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Lifetime& lifetime_;
  };

  enum class End { kAsked, kAskedWhenIdle, kUnused };

  // `idle_exit`: none, it never ends for want of use.
  explicit Lifetime(std::optional<std::chrono::milliseconds> idle_exit)
      : idle_exit_(idle_exit), last_use_(std::chrono::steady_clock::now()) {}

  // Ends the wait now, or when no job is left.
  void Stop();
  void StopWhenIdle();
  // A job was submitted or the last one has ended: looks again.
  void JobsChanged();

  // Returns when the daemon is to stop. `live_jobs` says how many jobs have not ended.
  End WaitForEnd(const std::function<int64_t()>& live_jobs);

 private:
  void AddCalls(int count);

  const std::optional<std::chrono::milliseconds> idle_exit_;
  Mutex mutex_;
  CondVar changed_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_when_idle_ ABSL_GUARDED_BY(mutex_) = false;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point last_use_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quantized
