#include "daemon/worker/noop.h"

#include "core/base/error.h"

namespace quantized {

absl::StatusOr<v1::JobResult> RunNoop(const v1::StartAttempt&, std::stop_token stop,
                                      ProgressSink&) {
  if (stop.stop_requested()) return MakeError(Error::kCancelled, "the job was cancelled");
  v1::JobResult result;
  result.mutable_noop();
  return result;
}

}  // namespace quantized
