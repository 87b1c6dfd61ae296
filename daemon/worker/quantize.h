// The job kind that makes a GGUF file of a model: a QuantizeSpec becomes a request of
// core/pipeline/quantize.h, its result becomes a QuantizeResult of the wire.
#pragma once

#include <stop_token>

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/pipeline/quantize.h"
#include "quantized/v1/worker.pb.h"

namespace quantized {

// Errors: those of Quantize; kNotImplemented for another format or several levels.
absl::StatusOr<v1::JobResult> RunQuantize(const v1::StartAttempt& start, std::stop_token stop,
                                          ProgressSink& progress);

// The two directions of the conversion. `start.spec` must hold a QuantizeSpec with one level.
QuantizeRequest QuantizeRequestOf(const v1::StartAttempt& start);
// All that the pipeline knows; what concerns the process and the job is left out.
v1::QuantizeResult ToProto(const QuantizeResult& result);

}  // namespace quantized
