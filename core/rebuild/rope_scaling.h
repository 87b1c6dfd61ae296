// The `rope_scaling` of config.json, out of a GGUF file's keys and of the tensors that a conversion
// generates from it: rope_freqs.weight (core/arch/rope_freqs.h) and rope_factors_long.weight and
// rope_factors_short.weight (core/arch/long_rope.h).
#pragma once

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/source/model_source.h"
#include "nlohmann/json.hpp"

namespace quantized {

// Null where frequencies are not scaled. `fields` are those of ConfigFields. Errors:
// kValidationFailed for keys and tensors of another type or shape, for one list of factors without
// the other, and for factors that no parameters of rope type llama3 give; those of ReadRows.
absl::StatusOr<nlohmann::json> RopeScaling(const Architecture& architecture,
                                           const nlohmann::json& fields, const ModelSource& source);

}  // namespace quantized
