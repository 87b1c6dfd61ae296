#include "daemon/worker/noop.h"

#include "core/base/error.h"

namespace quantized {

JobOutcome RunNoop(const v1::StartAttempt&, std::stop_token stop, ProgressSink&) {
  JobOutcome outcome;
  if (stop.stop_requested()) {
    outcome.status = MakeError(Error::kCancelled, "the job was cancelled");
  } else {
    outcome.result.mutable_noop();
  }
  return outcome;
}

}  // namespace quantized
