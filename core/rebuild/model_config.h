// The config.json that a GGUF model was converted from, or one that is converted to the same keys.
// Where each field comes from: docs/design/gguf-to-hf.md.
#pragma once

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/hf/config.h"
#include "core/source/model_source.h"

namespace quantized {

struct RebuiltConfig {
  const Architecture* architecture = nullptr;
  HfConfig config;  // file() is what config.json holds
};

// Of `source` its metadata, its tensors' names and shapes, and the values of generated tensors are
// read. Whatever the keys of the architecture say, the result says: they are made of it again and
// compared. Errors: kUnsupportedConversion for an unknown architecture, for keys without a place in
// config.json and for tensors that no rule of the architecture names; kValidationFailed for keys and
// tensors that are missing or of another type; each names key or tensor, found and expected.
absl::StatusOr<RebuiltConfig> RebuildConfig(const ModelSource& source);

}  // namespace quantized
