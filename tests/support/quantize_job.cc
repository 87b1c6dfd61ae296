#include "tests/support/quantize_job.h"

#include <utility>

#include "core/base/check.h"

namespace quantized::testing {

absl::StatusOr<QuantizeResult> RunQuantize(const QuantizeRequest& request, RecordingSink& sink,
                                           size_t threads, std::stop_token stop) {
  ThreadPool pool(threads);
  JobContext context{std::move(stop), sink, pool};
  QuantizeOutcome outcome = Quantize(request, context);
  CHECK(request.outputs.size() == 1 && outcome.finished.size() == (outcome.status.ok() ? 1 : 0));
  if (!outcome.status.ok()) return outcome.status;
  return std::move(outcome.finished.front());
}

absl::StatusOr<QuantizeResult> RunQuantize(const QuantizeRequest& request, size_t threads) {
  RecordingSink sink;
  return RunQuantize(request, sink, threads);
}

}  // namespace quantized::testing
