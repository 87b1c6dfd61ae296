#include "core/hf/tokenizer/component_json.h"

#include <utility>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/unicode.h"

namespace quantized::tokenizer {

std::string_view KindOf(const nlohmann::json& json) {
  switch (json.type()) {
    case nlohmann::json::value_t::null:
      return "null";
    case nlohmann::json::value_t::object:
      return "an object";
    case nlohmann::json::value_t::array:
      return "an array";
    case nlohmann::json::value_t::string:
      return "a string";
    case nlohmann::json::value_t::boolean:
      return "a boolean";
    default:
      return "a number";
  }
}

absl::StatusOr<Component> Component::Of(const nlohmann::json& json, std::string path, int depth) {
  Component component(json, std::move(path), depth);
  if (!json.is_object()) {
    return FileError("tokenizer.json", component.path_, KindOf(json), "an object");
  }
  ASSIGN_OR_RETURN(component.type_, component.String("type"));
  return component;
}

const nlohmann::json* Component::Find(std::string_view name) const {
  const auto it = json_->find(std::string(name));
  return it == json_->end() || it->is_null() ? nullptr : &*it;
}

absl::Status Component::Wrong(std::string_view name, std::string_view found,
                              std::string_view expected) const {
  return FileError("tokenizer.json", StrCat(path_, ".", name), found, expected);
}

absl::Status Component::UnknownType(std::string_view known) const {
  return Wrong("type", Quoted(type_), StrCat("one of ", known));
}

absl::StatusOr<bool> Component::Bool(std::string_view name, std::optional<bool> fallback) const {
  const nlohmann::json* value = Find(name);
  if (value == nullptr && fallback.has_value()) return *fallback;
  if (value == nullptr) return Wrong(name, "nothing", "a boolean");
  if (!value->is_boolean()) return Wrong(name, KindOf(*value), "a boolean");
  return value->get<bool>();
}

absl::StatusOr<uint64_t> Component::Unsigned(std::string_view name) const {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return Wrong(name, "nothing", "a number");
  if (!value->is_number_unsigned()) return Wrong(name, KindOf(*value), "a number from 0");
  return value->get<uint64_t>();
}

absl::StatusOr<std::string> Component::String(std::string_view name,
                                              std::optional<std::string> fallback) const {
  const nlohmann::json* value = Find(name);
  if (value == nullptr && fallback.has_value()) return *std::move(fallback);
  if (value == nullptr) return Wrong(name, "nothing", "a string");
  if (!value->is_string()) return Wrong(name, KindOf(*value), "a string");
  return value->get<std::string>();
}

absl::StatusOr<std::string> Component::Character(std::string_view name) const {
  ASSIGN_OR_RETURN(std::string text, String(name));
  size_t end = 0;
  if (!text.empty()) NextCodePoint(text, &end);
  if (text.empty() || end != text.size()) return Wrong(name, Quoted(text), "one character");
  return text;
}

absl::StatusOr<Regex> Component::Pattern(std::string_view name) const {
  const nlohmann::json* value = Find(name);
  if (value == nullptr || !value->is_object() || value->size() != 1 ||
      !value->begin()->is_string()) {
    return Wrong(name, value == nullptr ? "nothing" : KindOf(*value),
                 "an object with one string, String or Regex");
  }
  const auto& text = value->begin()->get_ref<const std::string&>();
  if (value->begin().key() == "String") {
    if (text.empty()) return Wrong(name, "an empty string", "a pattern");
    return Regex::Literal(text);
  }
  if (value->begin().key() != "Regex") {
    return Wrong(name, Quoted(value->begin().key()), "String or Regex");
  }
  ASSIGN_OR_RETURN(Regex regex, Regex::Compile(text),
                   << "tokenizer.json: " << path_ << "." << name);
  return regex;
}

absl::StatusOr<std::vector<Component>> Component::Members(std::string_view name) const {
  const nlohmann::json* value = Find(name);
  if (value == nullptr || !value->is_array()) {
    return Wrong(name, value == nullptr ? "nothing" : KindOf(*value), "an array");
  }
  if (depth_ + 1 >= kMaxComponentDepth || value->size() > kMaxComponents) {
    return Wrong(name, StrCat(value->size(), " members at depth ", depth_ + 1),
                 StrCat("at most ", kMaxComponents, " members and depth ", kMaxComponentDepth - 1));
  }
  std::vector<Component> members;
  for (size_t i = 0; i < value->size(); ++i) {
    ASSIGN_OR_RETURN(Component member,
                     Of((*value)[i], StrCat(path_, ".", name, "[", i, "]"), depth_ + 1));
    members.push_back(std::move(member));
  }
  return members;
}

}  // namespace quantized::tokenizer
