#include "core/hf/weight_files.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/weight_names.h"
#include "core/hf/json_file.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxIndexBytes = 256 << 20;

absl::Status Invalid(std::string_view what, std::string_view suggestion = "") {
  return MakeError(Error::kValidationFailed, what, suggestion);
}

// The first few of `names` and how many more there are.
std::string Some(std::span<const std::string> names) {
  constexpr size_t kShown = 3;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    StrAppend(&text, i == 0 ? "" : ", ", PrintableName(names[i]));
  }
  if (names.size() > kShown) StrAppend(&text, " and ", names.size() - kShown, " more");
  return text;
}

// Whether `name` is that of a file in the folder itself.
bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

absl::StatusOr<std::vector<std::string>> FileNames(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) return ErrnoError(error.value(), "list", directory.string());
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status NoWeights(const std::filesystem::path& directory, std::span<const std::string> names) {
  const auto some = [&](std::string_view prefix, std::string_view suffix) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return name.starts_with(prefix) && name.ends_with(suffix);
    });
  };
  const std::string where = StrCat(directory.string(), ": found no model*.safetensors");
  if (some("pytorch_model", ".bin")) {
    return MakeError(Error::kModelNotFound,
                     StrCat(where,
                            ", only pytorch_model*.bin, which is not read because a "
                            "pickle file can run code"),
                     "Convert the weights to safetensors, or fetch a revision that has them");
  }
  if (some("", ".gguf")) {
    return MakeError(Error::kModelNotFound, StrCat(where, ", only GGUF files"),
                     "Name the GGUF file itself");
  }
  if (some("consolidated", ".safetensors")) {
    return MakeError(Error::kModelNotFound, StrCat(where, ", only consolidated*.safetensors"),
                     "Use the files of the Hugging Face layout: config.json, model*.safetensors");
  }
  return MakeError(Error::kModelNotFound, where,
                   "Check that the download is complete and that this is the model's own folder");
}

// Without an index only the names of the files tell that one is not there.
absl::Status CheckShardsComplete(std::span<const std::string> files) {
  std::map<std::pair<std::string_view, uint32_t>, std::set<uint32_t>> sets;
  for (const std::string& file : files) {
    if (const auto name = ParseShardName(file)) sets[{name->set, name->count}].insert(name->shard);
  }
  for (const auto& [set, shards] : sets) {
    for (uint32_t shard = 1; shard <= set.second; ++shard) {
      if (shards.contains(shard)) continue;
      return Invalid(absl::StrFormat("%s%05d-of-%05d.safetensors: expected this shard, found the "
                                     "others without it",
                                     std::string(set.first), shard, set.second),
                     "Fetch the missing files; the download may have been cut short");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ParseWeightIndex(std::string_view text) {
  ASSIGN_OR_RETURN(const json index, ParseJsonObject(text, kWeightIndexFile));
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object()) {
    return Invalid(StrCat(kWeightIndexFile, ": weight_map: expected an object, found ",
                          map == index.end() ? "nothing" : JsonText(*map)));
  }
  std::map<std::string, std::string> weight_map;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !IsPlainFileName(file.get_ref<const std::string&>())) {
      return Invalid(StrCat(kWeightIndexFile, ": weight_map: ", PrintableName(tensor),
                            ": expected the name of a file beside the index, found ",
                            JsonText(file)));
    }
    weight_map.emplace(tensor, file.get<std::string>());
  }
  if (weight_map.empty()) {
    return Invalid(StrCat(kWeightIndexFile, ": weight_map: expected tensors, found none"));
  }
  return weight_map;
}

absl::StatusOr<WeightFiles> FindWeightFiles(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, FileNames(directory));
  const auto is_there = [&](const std::string& name) {
    return std::binary_search(names.begin(), names.end(), name);
  };
  WeightFiles weights;
  if (is_there(std::string(kWeightIndexFile))) {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadFile(directory / kWeightIndexFile, kMaxIndexBytes));
    ASSIGN_OR_RETURN(weights.weight_map, ParseWeightIndex(text));
    std::set<std::string> files;
    size_t tensors_lost = 0;
    for (const auto& [tensor, file] : *weights.weight_map) {
      files.insert(file);
      tensors_lost += is_there(file) ? 0 : 1;
    }
    weights.files.assign(files.begin(), files.end());
    std::vector<std::string> missing;
    std::copy_if(weights.files.begin(), weights.files.end(), std::back_inserter(missing),
                 [&](const std::string& file) { return !is_there(file); });
    if (!missing.empty()) {
      return Invalid(StrCat(directory.string(), ": ", missing.size(), " of ", weights.files.size(),
                            " shards named by ", kWeightIndexFile, " are missing, with ",
                            tensors_lost, " tensors: ", Some(missing)),
                     "Fetch the missing files; the download may have been cut short");
    }
    return weights;
  }
  weights.files = WeightsWithoutIndex(names);
  if (weights.files.empty()) return NoWeights(directory, names);
  RETURN_IF_ERROR(CheckShardsComplete(weights.files)) << directory.string();
  return weights;
}

absl::Status CheckIndexAgrees(const std::map<std::string, std::string>& weight_map,
                              std::span<const std::string> names) {
  const std::set<std::string> held(names.begin(), names.end());
  std::vector<std::string> missing, extra;
  for (const auto& [tensor, file] : weight_map) {
    if (!held.contains(tensor)) missing.push_back(StrCat(tensor, " (", file, ")"));
  }
  for (const std::string& name : held) {
    if (!weight_map.contains(name)) extra.push_back(name);
  }
  if (!missing.empty()) {
    return Invalid(StrCat(kWeightIndexFile, ": names ", missing.size(),
                          " tensors that the files do not hold: ", Some(missing),
                          extra.empty() ? "" : "; the files hold others: ", Some(extra)));
  }
  if (!extra.empty()) {
    return Invalid(StrCat(kWeightIndexFile, ": does not name ", extra.size(),
                          " tensors that the files hold: ", Some(extra)));
  }
  return absl::OkStatus();
}

}  // namespace quantized
