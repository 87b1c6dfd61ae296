// The MODEL argument: a path when it exists or looks like one, otherwise a Hub id.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

struct NamedModel {
  std::filesystem::path path;  // absolute; empty for a model of the Hub
  // "org/name" or "name", each with an optional "@revision", as it was typed; empty for a path.
  // Whether the Hub has such a model is not known.
  std::string hub_id;
};

// What exists is a path. Errors: kModelNotFound for a path that is not there, or a text that is
// neither a path nor a Hub id; of the address of a model's page the suggestion names the id.
absl::StatusOr<NamedModel> ResolveModel(std::string_view model);

// Absolute, without "." and "..": as the user sees it, so symbolic links stay unless a ".." would
// be ambiguous. The path need not exist.
std::filesystem::path AbsolutePath(const std::filesystem::path& path);

}  // namespace quantized
