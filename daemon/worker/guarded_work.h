// A job's work with an end that is always an outcome.
#pragma once

#include <stop_token>

#include "core/base/job_context.h"
#include "daemon/worker/job_outcome.h"
#include "quantized/v1/worker.pb.h"

namespace quantized {

// Does the work of `start`. Errors are those of the job; kCancelled once `stop` was requested.
using AttemptWork = JobOutcome (*)(const v1::StartAttempt& start, std::stop_token stop,
                                   ProgressSink& progress);

// Runs `work` and makes of an exception that leaves it an error: kOutOfMemory of std::bad_alloc,
// else kInternal. Nothing of ours throws, but libraries do, and what they threw once they throw
// again: a crash, after which the job is tried anew, would only take longer to tell less.
JobOutcome RunGuarded(AttemptWork work, const v1::StartAttempt& start, std::stop_token stop,
                      ProgressSink& progress);

}  // namespace quantized
