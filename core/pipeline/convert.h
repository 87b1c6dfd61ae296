// Quantized model → quantized model of another format: `convert`. Which pairs there are, and what
// they cost: core/pipeline/conversion.h. To gguf a conversion is a job of Quantize whose source is
// the quantized model; to awq and gptq it is core/pipeline/convert_directory.h.
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/pipeline/forecast.h"
#include "core/pipeline/quantize.h"

namespace quantized {

// `request` has one output, whose level may be empty: the default of the pair. Errors: those of
// PlanConversion, Quantize and ConvertToDirectory; kUnsupportedConversion where weights would be
// quantized anew and the request does not say that they may.
QuantizeOutcome Convert(const QuantizeRequest& request, JobContext& context);

// With `conversion` set, and the level that an empty one stands for. Whether weights may be
// quantized anew does not matter.
absl::StatusOr<QuantizeForecast> ForecastConvert(const QuantizeRequest& request, size_t threads);

}  // namespace quantized
