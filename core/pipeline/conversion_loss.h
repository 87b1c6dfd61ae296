// How much weights change where a conversion quantizes them anew, told before it is done: by making
// a sample of them.
#pragma once

#include "absl/status/statusor.h"
#include "core/pipeline/converted_folder.h"
#include "core/pipeline/quantize.h"

namespace quantized {

// |difference of weights|² / |weights|² over rows of some tensors that spread over the model.
// `request` is one for Quantize, of one output. Errors: those of ModelSources::Open, MakePlan and
// reading.
absl::StatusOr<double> LossToGguf(const QuantizeRequest& request);

// The same over some of the linears of a folder that are quantized anew. Errors: those of making
// them.
absl::StatusOr<double> LossToFolder(const ConvertedFolder& folder, size_t threads);

}  // namespace quantized
