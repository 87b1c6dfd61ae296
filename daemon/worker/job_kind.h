// What a worker can do: one row per operation of a JobSpec.
#pragma once

#include <span>
#include <stop_token>
#include <string_view>

#include "core/base/job_context.h"
#include "daemon/worker/attempt.h"
#include "daemon/worker/job_outcome.h"
#include "quantized/v1/worker.pb.h"

namespace quantized {

struct JobKind {
  v1::JobSpec::OperationCase operation;
  std::string_view name;
  AttemptWork run;
};

std::span<const JobKind> AllJobKinds();

// Null where no row has it.
const JobKind* FindJobKind(v1::JobSpec::OperationCase operation);

// Does the work of `start` by its row; kNotImplemented where there is none.
JobOutcome RunJob(const v1::StartAttempt& start, std::stop_token stop, ProgressSink& progress);

}  // namespace quantized
