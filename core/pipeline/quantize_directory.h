// Model → AWQ or GPTQ directory that serving tools load. The model runs on calibration text, layer
// by layer; each layer's packed tensors are written as soon as it is quantized, and its outputs are
// what the next layer is calibrated with. docs/design/calibrated.md.
// Memory: one layer, the activations of the calibration tokens within a budget.
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/pipeline/forecast.h"
#include "core/pipeline/quantize.h"

namespace quantized {

// Levels are made one after the other. Tells the context as Quantize does; progress in layers.
// Errors: those of Quantize; kInvalidArgument also for calibration data that do not do.
QuantizeOutcome QuantizeToDirectory(const QuantizeRequest& request, JobContext& context);

// As ForecastQuantize, for these formats. The calibration data are not looked at: as many tokens as
// were asked for are counted.
absl::StatusOr<QuantizeForecast> ForecastToDirectory(const QuantizeRequest& request,
                                                     size_t threads);

}  // namespace quantized
