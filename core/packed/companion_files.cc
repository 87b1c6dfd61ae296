#include "core/packed/companion_files.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/base/companion_names.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/json_file.h"
#include "nlohmann/json.hpp"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxTextBytes = 64 << 20;  // configurations and code
constexpr uint64_t kMaxCopyBytes = 1 << 30;

// Whose `auto_map` may name code.
constexpr std::string_view kMappingFiles[] = {
    "config.json",           "tokenizer_config.json",    "generation_config.json",
    "processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"};

bool IsIdentifier(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_';
  });
}

// Names of the regular files in `directory`; none where there is no such folder.
absl::StatusOr<std::set<std::string>> RegularFiles(const fs::path& directory) {
  std::set<std::string> names;
  std::error_code error;
  if (!fs::is_directory(directory, error)) return names;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code gone;  // a link to nowhere is no file
    if (entry->is_regular_file(gone)) names.insert(entry->path().filename().string());
  }
  if (error) return ErrnoError(error.value(), "list folder", directory.string());
  return names;
}

// The module in "modeling_x.XModel"; empty where it lies in another model's folder
// ("other--modeling_x.XModel") or is no plain name.
std::string_view ModuleOf(std::string_view reference) {
  const size_t dot = reference.find('.');
  const std::string_view module = reference.substr(0, dot);
  return dot != std::string_view::npos && IsIdentifier(module) ? module : std::string_view();
}

void AddMapped(const json& value, std::set<std::string>& modules) {
  if (value.is_string()) {
    const std::string_view module = ModuleOf(value.get_ref<const std::string&>());
    if (!module.empty()) modules.emplace(module);
  } else if (value.is_structured()) {  // one for each kind, or a slow and a fast one
    for (const json& item : value) AddMapped(item, modules);
  }
}

// X of lines "from .X import y", which is how code of a model uses its other files.
std::vector<std::string> Imports(std::string_view code) {
  std::vector<std::string> modules;
  while (!code.empty()) {
    const size_t end = code.find('\n');
    std::string_view line = code.substr(0, end);
    code.remove_prefix(end == std::string_view::npos ? code.size() : end + 1);
    const size_t start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos) continue;
    line.remove_prefix(start);
    if (!line.starts_with("from ")) continue;
    line.remove_prefix(line.find_first_not_of(' ', 5) == std::string_view::npos
                           ? line.size()
                           : line.find_first_not_of(' ', 5));
    if (!line.starts_with('.')) continue;
    const std::string_view module = line.substr(1, line.find_first_of(" \t", 1) - 1);
    if (IsIdentifier(module)) modules.emplace_back(module);
  }
  return modules;
}

absl::StatusOr<std::set<std::string>> CodeFiles(const fs::path& directory,
                                                const std::set<std::string>& names) {
  std::set<std::string> modules;
  for (const std::string_view file : kMappingFiles) {
    if (!names.contains(std::string(file))) continue;
    ASSIGN_OR_RETURN(const json config, ReadJsonObject(directory / file, kMaxTextBytes));
    const auto map = config.find("auto_map");
    if (map != config.end()) AddMapped(*map, modules);
  }
  std::set<std::string> files;
  std::vector<std::string> open(modules.begin(), modules.end());
  while (!open.empty()) {
    const std::string file = open.back() + ".py";
    open.pop_back();
    if (!names.contains(file) || !files.insert(file).second) continue;
    ASSIGN_OR_RETURN(const std::string code, ReadFile(directory / file, kMaxTextBytes));
    for (std::string& module : Imports(code)) open.push_back(std::move(module));
  }
  return files;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> CompanionFiles(const fs::path& directory) {
  ASSIGN_OR_RETURN(const std::set<std::string> names, RegularFiles(directory));
  ASSIGN_OR_RETURN(std::set<std::string> files, CodeFiles(directory, names));
  for (const std::string& name : names) {
    if (IsCompanionName(name)) files.insert(name);
  }
  ASSIGN_OR_RETURN(const std::set<std::string> templates,
                   RegularFiles(directory / kTemplateFolder));
  for (const std::string& name : templates) {
    const std::string path = StrCat(kTemplateFolder, "/", name);
    if (IsCompanionName(path)) files.insert(path);
  }
  return std::vector<std::string>(files.begin(), files.end());
}

absl::Status CopyFiles(const fs::path& source, const fs::path& target,
                       const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(const std::string contents, ReadFile(source / file, kMaxCopyBytes));
    const fs::path path = target / file;
    RETURN_IF_ERROR(CreateDirectories(path.parent_path()));
    RETURN_IF_ERROR(WriteFileAtomically(path, contents));
  }
  return absl::OkStatus();
}

absl::Status HashFiles(const fs::path& directory, const std::vector<std::string>& files,
                       Sha256& hash) {
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(directory / file, kMaxCopyBytes));
    hash.Update(StrCat(file.size(), ":", file, text.size(), ":"));
    hash.Update(text);
  }
  return absl::OkStatus();
}

}  // namespace quantized
