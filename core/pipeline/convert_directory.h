// A quantized model → an AWQ or GPTQ directory: its linears by other codes, or quantized anew, all
// else as it is. Layer by layer into OUTPUT.part with a checkpoint, as a calibrated job does it
// (core/pipeline/directory_output.h). Memory: a few linears per thread.
#pragma once

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/pipeline/conversion.h"
#include "core/pipeline/forecast.h"
#include "core/pipeline/quantize.h"

namespace quantized {

// `request` has one output; `conversion` is what PlanConversion gave for it. Errors: those of
// QuantizeToDirectory.
QuantizeOutcome ConvertToDirectory(const QuantizeRequest& request, const Conversion& conversion,
                                   JobContext& context);

// Errors: those of ConvertToDirectory that come before any work.
absl::StatusOr<QuantizeForecast> ForecastConvertToDirectory(const QuantizeRequest& request,
                                                            const Conversion& conversion,
                                                            size_t threads);

}  // namespace quantized
