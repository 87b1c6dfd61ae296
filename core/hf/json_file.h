// Small JSON files of a model directory (config.json, the shard index, …), read with bounds: size,
// depth, no name twice in one object. Messages name the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized {

// `file` is what messages call it. Errors: kValidationFailed when `text` is not one JSON value, is
// nested deeper than 64 levels, or names a member of an object twice.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, std::string_view file);
// As ParseJson, but the value must be an object.
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, std::string_view file);

// Errors: kModelNotFound when there is no such file, kIo, and those of ParseJsonObject.
absl::StatusOr<nlohmann::json> ReadJsonObject(const std::filesystem::path& path,
                                              uint64_t max_bytes);

// A value for a message: its JSON text, cut to about 40 bytes.
std::string JsonText(const nlohmann::json& value);

}  // namespace quantized
