#include "daemon/hub/model_files.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "core/base/companion_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/text.h"
#include "core/base/weight_names.h"
#include "daemon/hub/hub_cache.h"
#include "daemon/hub/json_text.h"

namespace quantized {
namespace {

constexpr std::string_view kIndex = "model.safetensors.index.json";
// Beside what goes with every model (core/base/companion_names.h).
constexpr std::array<std::string_view, 6> kDescriptions = {
    "README.md",    "config.json",       kIndex,
    "modules.json", "quant_config.json", "quantize_config.json"};
// Of a sentence embedding, in a folder that modules.json names.
constexpr std::string_view kPoolingConfig = "Pooling/config.json";
constexpr std::array<std::string_view, 4> kPickles = {".bin", ".pt", ".pth", ".ckpt"};

bool IsAtTop(std::string_view path) { return path.find('/') == std::string_view::npos; }

bool IsDescription(std::string_view path) {
  const bool is_code = IsAtTop(path) && path.ends_with(".py");  // copied, never run
  return is_code || IsCompanionName(path) || path.ends_with(kPoolingConfig) ||
         std::ranges::find(kDescriptions, path) != kDescriptions.end();
}

absl::StatusOr<std::set<std::string>> ShardsOf(std::string_view index) {
  const nlohmann::json json = ParseJson(index);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (!json.is_object() || map == json.end() || !map->is_object()) {
    return MakeError(Error::kValidationFailed, StrCat(kIndex, ": the 'weight_map' is no object"));
  }
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string()) {
      return MakeError(Error::kValidationFailed, StrCat(kIndex, ": the file of tensor '",
                                                        PrintableText(tensor), "' is no text"));
    }
    shards.insert(shard.get<std::string>());
  }
  return shards;
}

// The GGUF models: a file each, or the parts "name-00001-of-00003.gguf" of one.
std::set<std::string> GgufModels(const std::vector<std::string>& names) {
  static const std::regex kPart(R"((.*)-\d{5}-of-(\d{5})\.gguf)");
  std::set<std::string> models;
  for (const std::string& name : names) {
    std::smatch match;
    models.insert(std::regex_match(name, match, kPart)
                      ? StrCat(match[1].str(), "-00001-of-", match[2].str(), ".gguf")
                      : name);
  }
  return models;
}

absl::Status NothingToLoad(std::string_view model, std::span<const RemoteFile> files) {
  std::vector<std::string> pickles, safetensors, ggufs_below;
  for (const RemoteFile& file : files) {
    const auto ends = [&](std::string_view suffix) { return file.path.ends_with(suffix); };
    if (std::ranges::any_of(kPickles, ends)) pickles.push_back(file.path);
    if (file.path.ends_with(".safetensors")) safetensors.push_back(file.path);
    if (file.path.ends_with(".gguf") && !IsAtTop(file.path)) ggufs_below.push_back(file.path);
  }
  if (!ggufs_below.empty()) {
    return MakeError(Error::kModelNotFound,
                     StrCat("Model '", model,
                            "' has GGUF files in folders, and only those at the top of a "
                            "repository are taken: ",
                            FirstNames(ggufs_below)),
                     "Download the one you mean and provide its path");
  }
  if (!safetensors.empty()) {
    return MakeError(
        Error::kModelNotFound,
        StrCat("Model '", model, "' has no model*.safetensors, only ", FirstNames(safetensors)),
        "Name a model with its full weights; adapters must be merged first");
  }
  if (!pickles.empty()) {
    return MakeError(Error::kModelNotFound,
                     StrCat("Model '", model,
                            "' has only pickled weights, which may run code and "
                            "are not loaded: ",
                            FirstNames(pickles)),
                     "Use a revision or a copy of the model with safetensors");
  }
  return MakeError(Error::kModelNotFound,
                   StrCat("Model '", model, "' has no safetensors weights and no GGUF file"),
                   "Check the model name or provide a local path");
}

// The files of `files` that `wanted` names; kValidationFailed names the missing.
absl::StatusOr<std::vector<RemoteFile>> Named(std::string_view model,
                                              std::span<const RemoteFile> files,
                                              const std::set<std::string>& wanted) {
  std::vector<RemoteFile> found;
  std::vector<std::string> missing;
  for (const std::string& name : wanted) {
    const auto file = std::ranges::find(files, name, &RemoteFile::path);
    if (file == files.end()) {
      missing.push_back(name);
    } else {
      found.push_back(*file);
    }
  }
  if (missing.empty()) return found;
  return MakeError(Error::kValidationFailed,
                   StrCat("model '", model, "': ", kIndex, " names ", missing.size(),
                          " files that the model does not have: ", FirstNames(missing)));
}

}  // namespace

std::string FirstNames(const std::vector<std::string>& names, size_t shown) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), shown); ++i) {
    StrAppend(&text, i == 0 ? "" : ", ", PrintableText(names[i]));
  }
  if (names.size() > shown) StrAppend(&text, " and ", names.size() - shown, " more");
  return text;
}

std::optional<RemoteFile> FindWeightIndex(std::span<const RemoteFile> files) {
  const auto index = std::ranges::find(files, kIndex, &RemoteFile::path);
  if (index == files.end()) return std::nullopt;
  return *index;
}

absl::StatusOr<ModelFiles> ChooseModelFiles(std::string_view model,
                                            std::span<const RemoteFile> files,
                                            const std::optional<std::string>& index) {
  ModelFiles chosen;
  std::vector<std::string> at_top, ggufs;
  for (const RemoteFile& file : files) {
    // A killed process may have left it in a snapshot; of the Hub's files prune would remove it.
    if (IsTemporaryName(file.path)) continue;
    if (IsDescription(file.path)) chosen.descriptions.push_back(file);
    if (!IsAtTop(file.path)) continue;
    at_top.push_back(file.path);
    if (file.path.ends_with(".gguf")) ggufs.push_back(file.path);
  }
  const std::vector<std::string> unindexed = WeightsWithoutIndex(at_top);
  std::set<std::string> weights(unindexed.begin(), unindexed.end());
  if (index) {
    ASSIGN_OR_RETURN(weights, ShardsOf(*index), << "model '" << model << "'");
    if (weights.empty()) return NothingToLoad(model, files);
  } else if (weights.empty()) {
    if (ggufs.empty()) return NothingToLoad(model, files);
    const std::set<std::string> models = GgufModels(ggufs);
    if (models.size() > 1) {
      return MakeError(
          Error::kModelNotFound,
          StrCat("Model '", model, "' has ", models.size(),
                 " GGUF models and no safetensors: ", FirstNames({models.begin(), models.end()})),
          "Download the one you mean and provide its path");
    }
    chosen.gguf = *models.begin();
    weights.insert(ggufs.begin(), ggufs.end());
  }
  ASSIGN_OR_RETURN(chosen.weights, Named(model, files, weights));
  return chosen;
}

}  // namespace quantized
