// A fixed set of threads that run submitted work in the order of submission.
// Results must not depend on the number of threads: callers split work by index.
// Thread-safe. The destructor finishes what was submitted, then joins.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"

namespace quantized {

class ThreadPool {
 public:
  // `threads` >= 1.
  explicit ThreadPool(size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t size() const { return threads_.size(); }

  void Submit(std::function<void()> work);

  // Runs body(0) … body(count - 1) on the pool and returns when all are done. Must not be called
  // from a thread of this pool.
  void ParallelFor(size_t count, const std::function<void(size_t)>& body);

 private:
  void Run();

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace quantized
