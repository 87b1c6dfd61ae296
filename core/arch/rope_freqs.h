// The factors by which rope type llama3 stretches each rotary frequency; they are written as the
// tensor rope_freqs.weight, [ceil(head_dim / 2)], F32. Formula: docs/design/hf-to-gguf.md, "Rope
// frequencies". All steps are in float as in the reference; the power is taken in double and
// rounded once.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "core/arch/geometry.h"
#include "core/hf/config.h"

namespace quantized {

// Empty unless the rope type is llama3. Errors: kValidationFailed when a number of the rope block
// is none, not finite, or not above 0.
absl::StatusOr<std::vector<float>> RopeFreqs(const HfConfig& config, const Geometry& geometry);

}  // namespace quantized
