// The job that does nothing: what is left of a job when its work is taken away.
#pragma once

#include <stop_token>

#include "core/base/job_context.h"
#include "daemon/worker/job_outcome.h"
#include "quantized/v1/worker.pb.h"

namespace quantized {

// Error: kCancelled when `stop` was requested.
JobOutcome RunNoop(const v1::StartAttempt& start, std::stop_token stop, ProgressSink& progress);

}  // namespace quantized
