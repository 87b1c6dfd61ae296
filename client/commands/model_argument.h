// The MODEL argument: a path when it exists or looks like one, otherwise a Hub id.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

// The absolute path of a local model. Errors: kModelNotFound for a path that is not there, or a
// text that is neither a path nor a Hub id ("org/name", "name", each with an optional "@revision");
// kNotImplemented for a Hub id: this version downloads nothing.
absl::StatusOr<std::filesystem::path> ResolveModel(std::string_view model);

// Absolute, without "." and "..": as the user sees it, so symbolic links stay unless a ".." would
// be ambiguous. The path need not exist.
std::filesystem::path AbsolutePath(const std::filesystem::path& path);

}  // namespace quantized
