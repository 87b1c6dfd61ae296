// The keys of a GGUF file that describe the architecture: ARCHITECTURE.* and general.file_type.
// Rules: docs/design/hf-to-gguf.md, "Architecture metadata".
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "core/arch/architecture.h"
#include "core/gguf/metadata.h"
#include "core/hf/config.h"

namespace quantized {

// Appends what all architectures share, general.file_type, then the architecture's own keys.
// Errors: kValidationFailed when a field is missing that the file needs, or is no number that fits.
absl::Status AppendArchitectureMetadata(const Architecture& architecture, const HfConfig& config,
                                        uint32_t file_type, gguf::Metadata& metadata);

}  // namespace quantized
