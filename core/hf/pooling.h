// How an embedding model pools its tokens into one vector: what modules.json and the pooling
// module's own config.json say (the layout of the sentence-transformers library).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized {

// The number of GGUF's `pooling_type` (1 mean, 2 first token, 3 last token); nullopt for a model
// without a pooling module. Errors: kValidationFailed when a file is damaged or names another way.
absl::StatusOr<std::optional<uint32_t>> ReadPoolingType(const std::filesystem::path& directory);

// The way back: modules.json, and the pooling module's config.json, which stands in kPoolingFolder,
// for vectors of `width` numbers. Empty for a number that is none of the above.
inline constexpr std::string_view kPoolingFolder = "1_Pooling";
struct PoolingFiles {
  nlohmann::json modules, pooling;
};
std::optional<PoolingFiles> PoolingFilesOf(uint32_t pooling_type, uint32_t width);

}  // namespace quantized
