// Which linears have a bias: config.json says it with flags, a GGUF file with its tensors.
#pragma once

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/source/model_source.h"
#include "nlohmann/json.hpp"

namespace quantized {

// The flags that the architecture's class has. Errors, naming the tensor: kUnsupportedConversion for
// a bias that no flag and no class gives; kValidationFailed where only some of those are there that a
// flag gives.
absl::StatusOr<nlohmann::json> BiasFields(const Architecture& architecture, uint32_t layers,
                                          std::span<const SourceTensor> tensors);

}  // namespace quantized
