// The states of a job and every move between them, as one table. The queue asks IsAllowed before a
// move and the store makes it as a compare-and-set, so a job can never leave an ended state, be
// started twice, or succeed without having run. Picture and reasons: docs/design/queue.md.
#pragma once

#include <span>
#include <string_view>

#include "quantized/v1/job.pb.h"

namespace quantized {

// Who moves a job.
enum class MovedBy {
  kSubmit,      // SubmitJob accepted it
  kScheduler,   // a slot is free, or the job can never be started
  kWorker,      // the worker said Hello
  kSupervisor,  // the attempt's process ended
  kCancel,      // its owner asked
  kRecovery,    // a new daemon found it unfinished in the store
  kShutdown,    // the daemon stops and could not wait for the attempt's end
};

struct Transition {
  v1::Job::State from;  // STATE_UNSPECIFIED: the job is new
  v1::Job::State to;
  MovedBy by;
};

std::span<const Transition> AllTransitions();

bool IsAllowed(v1::Job::State from, v1::Job::State to, MovedBy by);

// SUCCEEDED, FAILED or CANCELLED: nothing changes any more.
bool IsEnded(v1::Job::State state);

// STARTING, RUNNING or CANCELLING: an attempt holds a slot.
bool IsActive(v1::Job::State state);

}  // namespace quantized
