// What becomes of a job when an attempt's process has ended: the policy alone, as a pure function.
//
//   the worker sent a result          → SUCCEEDED, whatever else happened
//   its owner cancelled the job       → CANCELLED
//   the daemon stops                  → PENDING (DAEMON_STOPPED)
//   the worker sent an error          → FAILED with it; kCancelled → CANCELLED
//                                       what it finished all the same stays known in both cases
//   it crashed or fell silent         → PENDING once more, then FAILED (kWorkerCrashed)
//   the daemon died (recovery)        → PENDING (DAEMON_RESTARTED)
//
// "Once more" counts attempts in a row that made no progress: when a finished unit became durable
// during an attempt, the count starts anew, since the next attempt begins further on. A daemon's
// death counts likewise, up to kMaxInterruptions, so that a job that takes the machine down with it
// does not do so for ever.
#pragma once

#include <string>

#include "daemon/executors/executor.h"
#include "daemon/queue/job_state.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

inline constexpr int kMaxCrashes = 2;
inline constexpr int kMaxInterruptions = 50;

enum class StopCause { kNone, kCancel, kShutdown };

struct Verdict {
  v1::Job::State to = v1::Job::PENDING;
  std::string reason;
  bool crashed = false;  // counts as one
  // The outcome of an ended job: one of them is set.
  v1::JobResult result;
  v1::ErrorDetail error;
  v1::JobResult finished;  // beside an error
};

// `crashes_before`: in a row without progress, this one not counted.
Verdict JudgeAttempt(const AttemptEnd& end, StopCause cause, v1::Phase phase, int crashes_before);

// The outcome of a job that its owner cancelled.
v1::ErrorDetail CancelledByOwner();

// The outcome of a job that was interrupted kMaxInterruptions times.
v1::ErrorDetail InterruptedTooOften();

}  // namespace quantized
