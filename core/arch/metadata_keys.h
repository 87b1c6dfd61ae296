// The keys of a GGUF file that describe the architecture: ARCHITECTURE.* and general.file_type.
// Rules: docs/design/hf-to-gguf.md, "Architecture metadata".
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "core/arch/architecture.h"
#include "core/gguf/metadata.h"
#include "core/hf/config.h"

namespace quantized {

// Appends what stands right behind general.architecture: for a model with factors for long texts
// (core/arch/long_rope.h), the one for attention. Errors: those of LongRopeOf.
absl::Status AppendLongRopeMetadata(const Architecture& architecture, const HfConfig& config,
                                    gguf::Metadata& metadata);

// Appends what architectures share, general.file_type, then the architecture's own keys; these
// alone where it shares none. Errors: kValidationFailed when a field is missing that the file
// needs, or is no number that fits.
absl::Status AppendArchitectureMetadata(const Architecture& architecture, const HfConfig& config,
                                        uint32_t file_type, gguf::Metadata& metadata);

}  // namespace quantized
