// What other threads ask of the queue's thread, in order. Thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "core/base/mutex.h"

namespace quantized {

struct Command {
  // Runs on the queue's thread, within a transaction that it shares with others. A failed status is
  // the store's: everything is rolled back, and the command is refused, or run again.
  std::function<absl::Status()> run;
  // Tells a client that its command failed. Empty: the command must not be lost (an attempt ended),
  // it is run again until the store works.
  std::function<void(absl::Status)> refuse;
};

class Mailbox {
 public:
  // Commands of clients that may wait; more are refused at once.
  static constexpr size_t kMaxWaiting = 4096;

  // Refuses the command (kDaemonUnavailable) when too many wait, or after Close.
  void Post(Command command);
  // Never refused for want of room. After Close it is dropped.
  void PostAlways(Command command);

  // The next commands, at most `limit`; waits for the first until `deadline`, so the result may be
  // empty.
  std::vector<Command> Take(size_t limit, std::chrono::steady_clock::time_point deadline);

  // Refuses what waits and what comes.
  void Close();

 private:
  Mutex mutex_;
  CondVar arrived_;
  std::deque<Command> commands_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quantized
