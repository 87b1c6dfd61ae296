#include "core/hf/chat_template/methods.h"

#include <memory>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/chat_template/text_functions.h"
#include "core/tensor/text.h"

namespace quantized::jinja {
namespace {

// Of str; a template that calls another one, such as format, is refused.
constexpr std::string_view kTextMethods[] = {"strip",    "lstrip",     "rstrip", "startswith",
                                             "endswith", "split",      "upper",  "lower",
                                             "title",    "capitalize", "replace"};
constexpr std::string_view kOtherTextMethods[] = {
    "casefold",   "center",       "count",        "encode",   "expandtabs", "find",
    "format",     "format_map",   "index",        "isalnum",  "isalpha",    "isascii",
    "isdecimal",  "isdigit",      "isidentifier", "islower",  "isnumeric",  "isprintable",
    "isspace",    "istitle",      "isupper",      "join",     "ljust",      "maketrans",
    "partition",  "removeprefix", "removesuffix", "rfind",    "rindex",     "rjust",
    "rpartition", "rsplit",       "splitlines",   "swapcase", "translate",  "zfill"};
constexpr std::string_view kDictMethods[] = {"items", "keys", "values", "get"};
constexpr std::string_view kOtherDictMethods[] = {"clear",   "copy",       "fromkeys", "pop",
                                                  "popitem", "setdefault", "update"};
constexpr std::string_view kOtherListMethods[] = {"append", "clear",   "copy",   "count",
                                                  "extend", "index",   "insert", "pop",
                                                  "remove", "reverse", "sort"};

Value Method(const Value& self, std::string_view name) {
  auto function = std::make_shared<Function>();
  function->name = name;
  function->self = std::make_shared<const Value>(self);
  return Value(std::shared_ptr<const Function>(std::move(function)));
}

absl::StatusOr<Value> Split(const std::string& text, ArgumentReader& reader, Work& work) {
  const Value* separator = reader.Next("sep");
  const Value* limit = reader.Next("maxsplit");
  RETURN_IF_ERROR(reader.Check());
  const auto* by = separator == nullptr ? nullptr : separator->As<std::string>();
  if (separator != nullptr && !separator->IsNone() && (by == nullptr || by->empty())) {
    return reader.Wrong("sep", separator, "a str that is not empty");
  }
  int64_t left = -1;
  if (limit != nullptr) {
    if (limit->As<int64_t>() == nullptr) return reader.Wrong("maxsplit", limit, "int");
    left = *limit->As<int64_t>();
  }
  if (by == nullptr) return Refuse("split at white space");
  std::vector<Value> parts;
  size_t begin = 0;
  for (size_t at; left != 0 && (at = text.find(*by, begin)) != std::string::npos; --left) {
    RETURN_IF_ERROR(work.Charge(64));
    parts.emplace_back(text.substr(begin, at - begin));
    begin = at + by->size();
  }
  parts.emplace_back(text.substr(begin));
  return MakeList(std::move(parts));
}

absl::StatusOr<Value> CallTextMethod(const std::string& text, std::string_view name,
                                     ArgumentReader& reader, Work& work) {
  RETURN_IF_ERROR(work.Charge(text.size()));
  if (name.ends_with("strip")) {
    const Value* characters = reader.Next("chars");
    RETURN_IF_ERROR(reader.Check());
    const auto* set = characters == nullptr ? nullptr : characters->As<std::string>();
    if (characters != nullptr && !characters->IsNone() && set == nullptr) {
      return reader.Wrong("chars", characters, "str");
    }
    return Value(Strip(text, name != "rstrip", name != "lstrip", set));
  }
  if (name == "startswith" || name == "endswith") {
    ASSIGN_OR_RETURN(const std::string part, reader.Text("prefix"));
    RETURN_IF_ERROR(reader.Check());
    return Value(name == "startswith" ? text.starts_with(part) : text.ends_with(part));
  }
  if (name == "split") return Split(text, reader, work);
  if (name == "replace") {
    ASSIGN_OR_RETURN(const std::string from, reader.Text("old"));
    ASSIGN_OR_RETURN(const std::string to, reader.Text("new"));
    RETURN_IF_ERROR(reader.Check());
    return Replace(text, from, to, work);
  }
  RETURN_IF_ERROR(reader.Check());
  return ChangeCase(name, text);
}

}  // namespace

absl::StatusOr<Value> GetAttribute(const Value& value, std::string_view name, Work& work) {
  if (const auto* undefined = value.As<Undefined>()) {
    return Refuse(StrCat("\"", PrintableName(undefined->name), "\" is undefined, so has no \"",
                         PrintableName(name), "\""));
  }
  const auto unknown = [&](std::string_view kind) {
    return Refuse(StrCat("the method \"", name, "\" of a ", kind, " is not known here"));
  };
  if (name.starts_with("__")) return Refuse(StrCat("the attribute \"", PrintableName(name), "\""));
  if (value.As<std::string>()) {
    if (Has(kTextMethods, name)) return Method(value, name);
    if (Has(kOtherTextMethods, name)) return unknown("str");
  } else if (value.AsList()) {
    if (Has(kOtherListMethods, name)) return unknown("list");
  } else if (const Dict* dict = value.AsDict()) {
    if (!dict->is_namespace && !dict->is_loop) {
      if (Has(kDictMethods, name)) return Method(value, name);
      if (Has(kOtherDictMethods, name)) return unknown("dict");
    }
    if (dict->is_loop && (name == "cycle" || name == "changed")) return unknown("loop");
    RETURN_IF_ERROR(work.Charge(dict->members.size()));
    if (const Value* member = FindMember(*dict, name)) return *member;
  } else if (value.AsFunction() != nullptr) {
    return Refuse(StrCat("the attribute \"", PrintableName(name), "\" of a function"));
  }
  return Value(Undefined{std::string(name)});
}

absl::StatusOr<Value> CallMethod(const Value& self, std::string_view name,
                                 const CallArguments& arguments, Work& work) {
  ArgumentReader reader(name, arguments);
  if (const auto* text = self.As<std::string>()) {
    return CallTextMethod(*text, name, reader, work);
  }
  const Dict* dict = self.AsDict();
  if (dict == nullptr) return Refuse(StrCat("a method of a ", KindOf(self)));
  if (name != "get") {
    RETURN_IF_ERROR(reader.Check());
    return MembersOf(*dict, name, work);
  }
  RETURN_IF_ERROR(work.Charge(dict->members.size()));
  ASSIGN_OR_RETURN(const std::string key, reader.Text("key"));
  const Value* fallback = reader.Next("default");
  RETURN_IF_ERROR(reader.Check());
  if (const Value* member = FindMember(*dict, key)) return *member;
  return fallback == nullptr ? Value(None{}) : *fallback;
}

absl::StatusOr<Value> MembersOf(const Dict& dict, std::string_view what, Work& work) {
  RETURN_IF_ERROR(work.Charge(64 * dict.members.size()));
  std::vector<Value> items;
  for (const auto& [name, value] : dict.members) {
    if (what == "keys") {
      items.emplace_back(name);
    } else if (what == "values") {
      items.push_back(value);
    } else {
      ASSIGN_OR_RETURN(Value pair, MakeList({Value(name), value}));
      items.push_back(std::move(pair));
    }
  }
  return MakeList(std::move(items));
}

}  // namespace quantized::jinja
