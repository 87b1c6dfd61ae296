// Whether a Hugging Face directory has all the tensors of its model. Looks at names only; what has
// another shape than it should is found where the tensor is used. Pure function; any thread.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "core/arch/architecture.h"
#include "core/arch/geometry.h"
#include "core/hf/config.h"
#include "core/source/hf_weights.h"

namespace quantized {

// A packed linear counts by its `qweight`. Nothing is known to be missing where the architecture is
// not known, where weights are quantized in a way that we do not read, and where configuration
// fields give some layers no experts. Errors: kValidationFailed, naming the first tensor that is
// missing; those of GeometryOf, CheckPackingIsSaid and ReadableScheme.
absl::Status CheckComplete(const HfConfig& config, const HfWeights& weights);

// What is missing of a model with that geometry. Errors: kValidationFailed.
absl::Status MissingTensor(const TensorRule& rule, uint32_t layer, uint32_t expert,
                           const Geometry& geometry);

}  // namespace quantized
