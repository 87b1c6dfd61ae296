// What quantize-fetch does for the daemon: the first part of an attempt at a job whose model is one
// of the Hub (docs/design/hub.md).
#pragma once

#include <stop_token>

#include "core/base/job_context.h"
#include "daemon/worker/job_outcome.h"
#include "quantized/v1/worker.pb.h"

namespace quantized {

// Brings the model of `start` into the cache; the outcome's result tells its path. An AttemptWork.
// Settings are those of the job, not of this process, proxies excepted: their URLs may hold a
// password, which a job does not carry. Errors: those of FetchModel.
JobOutcome RunFetch(const v1::StartAttempt& start, std::stop_token stop, ProgressSink& progress);

}  // namespace quantized
