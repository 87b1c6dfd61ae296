#include "core/hf/pooling.h"

#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/json_file.h"
#include "nlohmann/json.hpp"

namespace quantized {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxBytes = 1 << 20;

struct PoolingMode {
  std::string_view flag;  // set to true in files of older versions
  std::string_view name;  // `pooling_mode` in newer ones
  uint32_t number;
};

constexpr PoolingMode kPoolingModes[] = {
    {"pooling_mode_mean_tokens", "mean", 1},
    {"pooling_mode_cls_token", "cls", 2},
    {"pooling_mode_lasttoken", "lasttoken", 3},
};

std::string Text(const json& object, std::string_view name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// The folder of the first pooling module; empty where there is none.
absl::StatusOr<std::string> PoolingFolder(const std::filesystem::path& modules_file) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(modules_file, kMaxBytes));
  ASSIGN_OR_RETURN(const json modules, ParseJson(text, "modules.json"));
  if (!modules.is_array()) {
    return MakeError(Error::kValidationFailed, "modules.json: expected a list of modules");
  }
  for (const json& module : modules) {
    if (!module.is_object() || !Text(module, "type").ends_with("Pooling")) continue;
    const std::string folder = Text(module, "path");
    if (folder.empty() || folder == "." || folder == ".." ||
        folder.find('/') != std::string::npos) {
      return MakeError(Error::kValidationFailed,
                       "modules.json: path: expected the name of a folder beside it");
    }
    return folder;
  }
  return "";
}

}  // namespace

absl::StatusOr<std::optional<uint32_t>> ReadPoolingType(const std::filesystem::path& directory) {
  std::error_code ignored;
  const std::filesystem::path modules = directory / "modules.json";
  if (!std::filesystem::is_regular_file(modules, ignored)) return std::nullopt;
  ASSIGN_OR_RETURN(const std::string folder, PoolingFolder(modules));
  if (folder.empty()) return std::nullopt;

  const std::filesystem::path file = directory / folder / "config.json";
  ASSIGN_OR_RETURN(const json pooling, ReadJsonObject(file, kMaxBytes), << folder);
  for (const PoolingMode& mode : kPoolingModes) {
    const auto flag = pooling.find(mode.flag);
    if (flag != pooling.end() && *flag == true) return mode.number;
  }
  for (const PoolingMode& mode : kPoolingModes) {
    if (Text(pooling, "pooling_mode") == mode.name) return mode.number;
  }
  return MakeError(Error::kValidationFailed,
                   StrCat(folder,
                          "/config.json: expected pooling by mean, first or last token, "
                          "found none of them"));
}

std::optional<PoolingFiles> PoolingFilesOf(uint32_t pooling_type, uint32_t width) {
  json pooling = {{"word_embedding_dimension", width}};
  bool is_known = false;
  for (const PoolingMode& mode : kPoolingModes) {
    pooling[std::string(mode.flag)] = mode.number == pooling_type;
    is_known = is_known || mode.number == pooling_type;
  }
  if (!is_known) return std::nullopt;
  const auto module = [](uint32_t index, std::string_view folder, std::string_view type) {
    return json{{"idx", index},
                {"name", StrCat(index)},
                {"path", folder},
                {"type", StrCat("sentence_transformers.models.", type)}};
  };
  return PoolingFiles{
      json::array({module(0, "", "Transformer"), module(1, kPoolingFolder, "Pooling")}), pooling};
}

}  // namespace quantized
