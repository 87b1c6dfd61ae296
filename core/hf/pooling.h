// How an embedding model pools its tokens into one vector: what modules.json and the pooling
// module's own config.json say (the layout of the sentence-transformers library).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "absl/status/statusor.h"

namespace quantized {

// The number of GGUF's `pooling_type` (1 mean, 2 first token, 3 last token); nullopt for a model
// without a pooling module. Errors: kValidationFailed when a file is damaged or names another way.
absl::StatusOr<std::optional<uint32_t>> ReadPoolingType(const std::filesystem::path& directory);

}  // namespace quantized
