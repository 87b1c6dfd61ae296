#include "tests/support/quantize_job.h"

namespace quantized::testing {

absl::StatusOr<QuantizeResult> RunQuantize(const QuantizeRequest& request, RecordingSink& sink,
                                           size_t threads, std::stop_token stop) {
  ThreadPool pool(threads);
  JobContext context{std::move(stop), sink, pool};
  return Quantize(request, context);
}

absl::StatusOr<QuantizeResult> RunQuantize(const QuantizeRequest& request, size_t threads) {
  RecordingSink sink;
  return RunQuantize(request, sink, threads);
}

}  // namespace quantized::testing
