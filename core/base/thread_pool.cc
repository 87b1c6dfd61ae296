#include "core/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "core/base/check.h"

namespace quantized {

ThreadPool::ThreadPool(size_t threads) {
  CHECK(threads >= 1);
  threads_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

ThreadPool::~ThreadPool() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Submit(std::function<void()> work) {
  {
    MutexLock lock(mutex_);
    queue_.push_back(std::move(work));
  }
  changed_.NotifyOne();
}

void ThreadPool::ParallelFor(size_t count, const std::function<void(size_t)>& body) {
  if (count == 0) return;
  std::atomic<size_t> next{0};
  Mutex mutex;
  CondVar finished;
  size_t running = std::min(count, size());
  const size_t lanes = running;
  for (size_t lane = 0; lane < lanes; ++lane) {
    Submit([&] {
      for (size_t i = next++; i < count; i = next++) body(i);
      MutexLock lock(mutex);
      if (--running == 0) finished.NotifyAll();
    });
  }
  MutexLock lock(mutex);
  while (running > 0) finished.Wait(mutex);
}

void ThreadPool::Run() {
  for (;;) {
    std::function<void()> work;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) changed_.Wait(mutex_);
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace quantized
