#include "client/commands/model_argument.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <system_error>

#include "absl/strings/str_replace.h"
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

// The rest of `text` where it begins with `prefix`, else nothing.
std::optional<std::string_view> After(std::string_view text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  return text.substr(prefix.size());
}

// Up to the next slash, which goes, too.
std::string_view TakePart(std::string_view& path) {
  const std::string_view part = path.substr(0, path.find('/'));
  path.remove_prefix(std::min(part.size() + 1, path.size()));
  return part;
}

// Of the address of a model's page on the Hub, or of one of its files, the model's id; empty for
// another text. Any host: mirrors have the Hub's paths.
std::string HubIdOfUrl(std::string_view text) {
  std::optional<std::string_view> rest = After(text, "https://");
  if (!rest) rest = After(text, "http://");
  if (!rest) return "";
  std::string_view path = rest->substr(0, rest->find_first_of("?#"));
  TakePart(path);  // the host
  const std::string_view owner = TakePart(path), name = TakePart(path);
  if (!IsHubName(owner) || !IsHubName(name)) return "";
  std::string id = fmt::format("{}/{}", owner, name);
  if (path.empty()) return id;
  constexpr std::array<std::string_view, 3> kOfRevision = {"tree", "blob", "resolve"};
  const bool names_revision = std::ranges::find(kOfRevision, TakePart(path)) != kOfRevision.end();
  const std::string_view revision = TakePart(path);
  if (!names_revision || revision.empty()) return "";
  id += fmt::format("@{}", revision);
  // "refs%2Fpr%2F1": the one character of revisions that addresses escape.
  absl::StrReplaceAll({{"%2F", "/"}}, &id);
  return id;
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
  const std::string id = HubIdOfUrl(model);
  return MakeError(Error::kModelNotFound, fmt::format("Model '{}' not found{}", model, why),
                   id.empty() ? "Check the path of the model directory or GGUF file"
                              : fmt::format("Give the model's name: {}", id));
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
