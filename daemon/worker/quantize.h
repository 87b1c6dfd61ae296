// The job kind that makes quantized models: a QuantizeSpec becomes a request of
// core/pipeline/quantize.h or quantize_directory.h, its results become QuantizeResults of the wire.
#pragma once

#include <stop_token>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/pipeline/forecast.h"
#include "core/pipeline/quantize.h"
#include "daemon/worker/job_outcome.h"
#include "quantized/v1/worker.pb.h"

namespace quantized {

// Errors: those of Quantize and of CheckRunnable.
JobOutcome RunQuantize(const v1::StartAttempt& start, std::stop_token stop, ProgressSink& progress);

// What a job of this spec would make and need. Errors: those of CheckRunnable and ForecastQuantize.
absl::StatusOr<QuantizeForecast> Forecast(const v1::StartAttempt& start);

// Whether this worker makes what the spec asks for. Errors: kNotImplemented for a format that is in
// the contract and not in this version, and for no output at all.
absl::Status CheckRunnable(const v1::QuantizeSpec& spec);

// The two directions of the conversion. `start.spec` must hold a QuantizeSpec.
QuantizeRequest QuantizeRequestOf(const v1::StartAttempt& start);
// All that the pipeline knows; what concerns the process and the job is left out.
v1::QuantizeResult ToProto(const QuantizeResult& result);

// The threads that a job of this spec works with.
size_t ThreadsOf(const v1::QuantizeSpec& spec);

}  // namespace quantized
