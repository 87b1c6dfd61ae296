#include "client/commands/model_argument.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "core/base/error.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

bool LooksLikePath(std::string_view model) {
  constexpr std::array<std::string_view, 4> kPrefixes = {"/", "./", "../", "~"};
  constexpr std::array<std::string_view, 3> kSuffixes = {"/", ".gguf", ".safetensors"};
  const auto begins = [&](std::string_view prefix) { return model.starts_with(prefix); };
  const auto ends = [&](std::string_view suffix) { return model.ends_with(suffix); };
  return model == "." || model == ".." || std::any_of(kPrefixes.begin(), kPrefixes.end(), begins) ||
         std::any_of(kSuffixes.begin(), kSuffixes.end(), ends);
}

bool IsHubName(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !name.empty() && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), allowed);
}

bool IsHubId(std::string_view model) {
  const std::string_view repository = model.substr(0, model.find('@'));
  const size_t slash = repository.find('/');
  if (slash == std::string_view::npos) return IsHubName(repository);
  return IsHubName(repository.substr(0, slash)) && IsHubName(repository.substr(slash + 1));
}

}  // namespace

absl::StatusOr<NamedModel> ResolveModel(std::string_view model) {
  std::error_code error;
  if (fs::exists(model, error)) return NamedModel{.path = AbsolutePath(model), .hub_id = ""};
  if (!LooksLikePath(model) && IsHubId(model)) {
    return NamedModel{.path = "", .hub_id = std::string(model)};
  }
  // A folder that may not be entered shows as an error other than "not there".
  const std::string why =
      error && error != std::errc::no_such_file_or_directory ? ": " + error.message() : "";
  return MakeError(Error::kModelNotFound, fmt::format("Model '{}' not found{}", model, why),
                   "Check the path of the model directory or GGUF file");
}

fs::path AbsolutePath(const fs::path& path) {
  const fs::path absolute = fs::absolute(path);
  if (std::find(absolute.begin(), absolute.end(), "..") != absolute.end()) {
    std::error_code error;
    fs::path resolved = fs::weakly_canonical(absolute, error);
    if (!error) return resolved;
  }
  fs::path normal = absolute.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();  // without a trailing slash
}

}  // namespace quantized
