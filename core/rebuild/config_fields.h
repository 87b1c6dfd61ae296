// The fields of config.json that the ARCHITECTURE.* keys of a GGUF file come from: the tables of
// core/arch read backwards. Those of the rope block excepted (rope_scaling.h).
#pragma once

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/gguf/metadata.h"
#include "nlohmann/json.hpp"

namespace quantized {

// An object with a field for each key that is there, by the name that the architecture's class has
// for it. A key that runtimes do without is taken as they take it: as many key-value heads as
// heads, rope_theta 10000. Without a key for vocab_size the caller has to set it. Errors:
// kValidationFailed for a key of another type, and where a key is missing without which there is no
// model.
absl::StatusOr<nlohmann::json> ConfigFields(const Architecture& architecture,
                                            const gguf::Metadata& metadata);

}  // namespace quantized
