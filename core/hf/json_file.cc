#include "core/hf/json_file.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;

// What a parse has seen that the grammar allows and we do not.
struct Faults {
  bool too_deep = false;
  std::string repeated_name;
  std::vector<std::set<std::string>> names;  // of the open objects, by depth

  bool Look(int depth, json::parse_event_t event, const json& value) {
    if (depth > kMaxDepth) {
      too_deep = true;
      return false;
    }
    const auto level = static_cast<size_t>(depth);
    if (event == json::parse_event_t::object_start) {
      names.resize(level + 1);
      names[level].clear();
    } else if (event == json::parse_event_t::key && level >= 1 && level <= names.size()) {
      const auto& name = value.get_ref<const std::string&>();
      if (!names[level - 1].insert(name).second && repeated_name.empty()) repeated_name = name;
    }
    return true;
  }
};

absl::Status Malformed(std::string_view file, std::string_view what) {
  return MakeError(Error::kValidationFailed, StrCat(file, ": ", what));
}

}  // namespace

absl::StatusOr<json> ParseJson(std::string_view text, std::string_view file) {
  Faults faults;
  json value = json::parse(
      text,
      [&](int depth, json::parse_event_t event, json& parsed) {
        return faults.Look(depth, event, parsed);
      },
      /*allow_exceptions=*/false);
  if (faults.too_deep) {
    return Malformed(file, StrCat("nested deeper than ", kMaxDepth, " levels"));
  }
  if (value.is_discarded()) {
    return Malformed(file,
                     StrCat("expected JSON, found bad syntax in its ", text.size(), " bytes"));
  }
  if (!faults.repeated_name.empty()) {
    return Malformed(file, StrCat("the name \"", PrintableName(faults.repeated_name),
                                  "\" stands twice in one object"));
  }
  return value;
}

absl::StatusOr<json> ParseJsonObject(std::string_view text, std::string_view file) {
  ASSIGN_OR_RETURN(json value, ParseJson(text, file));
  if (!value.is_object()) {
    return Malformed(file, StrCat("expected a JSON object, found ", value.type_name()));
  }
  return value;
}

absl::StatusOr<json> ReadJsonObject(const std::filesystem::path& path, uint64_t max_bytes) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, max_bytes));
  return ParseJsonObject(text, path.filename().string());
}

std::string JsonText(const json& value) {
  if (value.is_structured()) {
    return StrCat(value.is_array() ? "a list of " : "an object of ", value.size());
  }
  constexpr size_t kMaxBytes = 40;
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  if (text.size() > kMaxBytes) text = text.substr(0, kMaxBytes) + "...";
  return text;
}

}  // namespace quantized
