// Where an attempt runs. One implementation per place; all pass the executors' shared test suite.
// Thread rule: Start and Stop are called by the scheduler's thread; an observer is called from
// threads of the executor, never after its OnEnd, and never from within Start or Stop.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "quantized/v1/worker.pb.h"

namespace quantized {

// How an attempt's process ended, as the operating system tells it.
struct AttemptEnd {
  // What the worker said last; exactly one is set when it spoke before it ended.
  std::unique_ptr<v1::JobResult> result;
  std::unique_ptr<v1::AttemptError> error;
  int exit_code = 0;               // meaningful when signal == 0
  int signal = 0;                  // that killed it, 0 for none
  bool stopped_by_us = false;      // Stop was called before it ended
  bool unresponsive = false;       // killed for want of heartbeats
  uint64_t peak_memory_bytes = 0;  // the highest heartbeat; the kernel's word where it crashed
  std::string log_tail;            // last lines of its log, control characters removed
};

class AttemptObserver {
 public:
  virtual ~AttemptObserver() = default;
  // Frames other than Hello, Heartbeat, result and error.
  virtual void OnFrame(const v1::WorkerFrame& frame) = 0;
  // The worker said Hello and was given its work; of a model of the Hub first quantize-fetch, then
  // the worker. `pid_start_ticks` is field 22 of /proc/PID/stat:
  // together with pid and boot id it names the process for ever.
  virtual void OnRunning(int64_t pid, uint64_t pid_start_ticks) = 0;
  // Last call. The process is gone.
  virtual void OnEnd(AttemptEnd end) = 0;
};

// A running attempt. Destroying it kills the process (SIGKILL) and waits for its end; OnEnd is not
// called any more then.
class Attempt {
 public:
  virtual ~Attempt() = default;
  // Asks the worker to end (Stop frame and SIGTERM), kills it after `grace`. Returns at once.
  virtual void Stop(std::chrono::milliseconds grace) = 0;
};

class Executor {
 public:
  virtual ~Executor() = default;
  // Starts a worker for `start`. Where the model is one of the Hub, quantize-fetch runs first, and
  // it alone gets the token. `observer` must outlive the Attempt. What they print goes to
  // `log_path` (created, capped). Errors: kInternal where no process could be made.
  virtual absl::StatusOr<std::unique_ptr<Attempt>> Start(const v1::StartAttempt& start,
                                                         const std::string& log_path,
                                                         AttemptObserver& observer) = 0;
};

}  // namespace quantized
