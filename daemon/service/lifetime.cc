#include "daemon/service/lifetime.h"

namespace quantized {

using std::chrono::steady_clock;

void Lifetime::Stop() {
  MutexLock lock(mutex_);
  stop_ = true;
  changed_.NotifyAll();
}

void Lifetime::StopWhenIdle() {
  MutexLock lock(mutex_);
  stop_when_idle_ = true;
  changed_.NotifyAll();
}

void Lifetime::JobsChanged() {
  MutexLock lock(mutex_);
  last_use_ = steady_clock::now();
  changed_.NotifyAll();
}

void Lifetime::AddCalls(int count) {
  MutexLock lock(mutex_);
  calls_ += count;
  last_use_ = steady_clock::now();
}

Lifetime::End Lifetime::WaitForEnd(const std::function<int64_t()>& live_jobs) {
  MutexLock lock(mutex_);
  while (true) {
    if (stop_) return End::kAsked;
    const bool no_jobs = live_jobs() == 0;
    if (stop_when_idle_ && no_jobs) return End::kAskedWhenIdle;
    if (!idle_exit_) {
      changed_.Wait(mutex_);
      continue;
    }
    const steady_clock::time_point now = steady_clock::now();
    const bool used = !no_jobs || calls_ > 0;
    if (!used && now >= last_use_ + *idle_exit_) return End::kUnused;
    // While it is in use, whoever ends the use moves last_use_.
    changed_.WaitUntil(mutex_, (used ? now : last_use_) + *idle_exit_);
  }
}

}  // namespace quantized
