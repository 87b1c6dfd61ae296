// How a job ended in this worker.
#pragma once

#include "absl/status/status.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

struct JobOutcome {
  absl::Status status;
  // All of it where `status` is OK; else what is finished all the same, not set for nothing.
  v1::JobResult result;
};

}  // namespace quantized
