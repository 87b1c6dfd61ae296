#include "core/hf/chat_template/filters.h"

#include <algorithm>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/chat_template/items.h"
#include "core/hf/chat_template/methods.h"
#include "core/hf/chat_template/predicates.h"
#include "core/hf/chat_template/text_functions.h"
#include "core/tensor/text.h"

namespace quantized::jinja {
namespace {

constexpr size_t kMaxIndent = 64;

absl::StatusOr<Value> Join(const std::vector<Value>& items, const std::string& separator,
                           Work& work) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    ASSIGN_OR_RETURN(const std::string text, Print(items[i]), << "join");
    RETURN_IF_ERROR(work.Charge(text.size() + separator.size()));
    if (i > 0) out += separator;
    out += text;
  }
  return Value(std::move(out));
}

// indent(width=4, first=False, blank=False) with a number as width.
absl::StatusOr<Value> Indent(const std::string& text, ArgumentReader& reader, Work& work) {
  int64_t width = 4;
  if (const Value* given = reader.Next("width")) {
    const auto* number = given->As<int64_t>();
    if (number == nullptr) return reader.Wrong("width", given, "int");
    width = *number;
  }
  const Value* first = reader.Next("first");
  const Value* blank = reader.Next("blank");
  RETURN_IF_ERROR(reader.Check());
  if (width < 0 || width > static_cast<int64_t>(kMaxIndent)) {
    return Refuse(StrCat("indent of ", width, ", expected 0 to ", kMaxIndent));
  }
  const std::string blanks(static_cast<size_t>(width), ' ');
  std::string out;
  for (size_t begin = 0, line = 0; begin <= text.size(); ++line) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    RETURN_IF_ERROR(work.Charge(end - begin + blanks.size()));
    if (line > 0) out += '\n';
    const bool wanted = line == 0 ? first != nullptr && Truth(*first)
                                  : end > begin || (blank != nullptr && Truth(*blank));
    if (wanted) out += blanks;
    out.append(text, begin, end - begin);
    begin = end + 1;
  }
  return Value(std::move(out));
}

absl::StatusOr<Value> ToInt(const Value& value) {
  if (const auto* integer = value.As<int64_t>()) return Value(*integer);
  if (const auto* boolean = value.As<bool>()) return Value(int64_t{*boolean});
  return Refuse(StrCat("int of a ", KindOf(value)));
}

absl::StatusOr<Value> TextFilter(std::string_view name, const std::string& text,
                                 ArgumentReader& reader, Work& work) {
  if (name == "trim") {
    const Value* characters = reader.Next("chars");
    RETURN_IF_ERROR(reader.Check());
    const auto* set = characters == nullptr ? nullptr : characters->As<std::string>();
    if (characters != nullptr && set == nullptr) return reader.Wrong("chars", characters, "str");
    return Value(Strip(text, true, true, set));
  }
  if (name == "replace") {
    ASSIGN_OR_RETURN(const std::string from, reader.Text("old"));
    ASSIGN_OR_RETURN(const std::string to, reader.Text("new"));
    RETURN_IF_ERROR(reader.Check());
    return Replace(text, from, to, work);
  }
  if (name == "indent") return Indent(text, reader, work);
  RETURN_IF_ERROR(reader.Check());
  return ChangeCase(name, text);
}

// select, reject, selectattr, rejectattr: the items of which a test holds, or does not.
absl::StatusOr<Value> Select(std::string_view name, const std::vector<Value>& items,
                             const CallArguments& arguments, Work& work) {
  const bool wanted = name.starts_with("select");
  size_t place = 0;
  std::string attribute;
  if (name.ends_with("attr")) {
    const auto* text =
        arguments.positional.empty() ? nullptr : arguments.positional[0].As<std::string>();
    if (text == nullptr || text->find('.') != std::string::npos) {
      return Refuse(StrCat(name, " without the plain name of an attribute"));
    }
    attribute = *text;
    place = 1;
  }
  if (!arguments.named.empty()) return Refuse(StrCat(name, " with named arguments"));
  std::string test;
  if (place < arguments.positional.size()) {
    const auto* text = arguments.positional[place].As<std::string>();
    if (text == nullptr) return Refuse(StrCat(name, " without the name of a test"));
    test = *text;
    ++place;
  }
  CallArguments rest;
  for (; place < arguments.positional.size(); ++place) {
    rest.positional.push_back(arguments.positional[place]);
  }
  std::vector<Value> kept;
  for (const Value& item : items) {
    RETURN_IF_ERROR(work.Charge(64));
    Value subject = item;
    if (!attribute.empty()) {
      ASSIGN_OR_RETURN(subject, GetItem(item, Value(attribute), work));
    }
    bool holds = Truth(subject);
    if (!test.empty()) {
      ASSIGN_OR_RETURN(holds, ApplyTest(test, subject, rest, work));
    }
    if (holds == wanted) kept.push_back(item);
  }
  return MakeList(std::move(kept));
}

// map(attribute="x", default=y), or map("filter", its arguments).
absl::StatusOr<Value> Map(const std::vector<Value>& items, const CallArguments& arguments,
                          Work& work) {
  std::vector<Value> mapped;
  if (arguments.positional.empty()) {
    ArgumentReader reader("map", arguments);
    ASSIGN_OR_RETURN(const std::string attribute, reader.Text("attribute"));
    const Value* fallback = reader.Next("default");
    RETURN_IF_ERROR(reader.Check());
    if (attribute.find('.') != std::string::npos) return Refuse("map with a path of attributes");
    for (const Value& item : items) {
      RETURN_IF_ERROR(work.Charge(64));
      ASSIGN_OR_RETURN(Value value, GetItem(item, Value(attribute), work));
      if (value.IsUndefined() && fallback != nullptr) value = *fallback;
      mapped.push_back(std::move(value));
    }
    return MakeList(std::move(mapped));
  }
  const auto* filter = arguments.positional[0].As<std::string>();
  if (filter == nullptr) return Refuse("map without the name of a filter");
  CallArguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  for (const Value& item : items) {
    RETURN_IF_ERROR(work.Charge(item.weight()));
    if (*filter == "map") return Refuse("map in map");  // would nest without bound
    ASSIGN_OR_RETURN(Value value, ApplyFilter(*filter, item, rest, work));
    mapped.push_back(std::move(value));
  }
  return MakeList(std::move(mapped));
}

absl::StatusOr<Value> ListFilter(std::string_view name, const Value& value,
                                 const CallArguments& arguments, Work& work) {
  ArgumentReader reader(name, arguments);
  ASSIGN_OR_RETURN(std::vector<Value> items, ItemsOf(value, work));
  if (name == "join") {
    const Value* separator = reader.Next("d");
    const Value* attribute = reader.Next("attribute");
    RETURN_IF_ERROR(reader.Check());
    if (attribute != nullptr) return Refuse("join with an attribute");
    std::string text;
    if (separator != nullptr) {
      ASSIGN_OR_RETURN(text, Print(*separator));
    }
    return Join(items, text, work);
  }
  if (name == "map") return Map(items, arguments, work);
  if (name.starts_with("select") || name.starts_with("reject")) {
    return Select(name, items, arguments, work);
  }
  RETURN_IF_ERROR(reader.Check());
  if (name == "first") return items.empty() ? Value() : items.front();
  if (name == "last") return items.empty() ? Value() : items.back();
  if (name == "reverse") {
    if (value.As<std::string>()) return Refuse("reverse of a str");
    std::reverse(items.begin(), items.end());
  }
  return MakeList(std::move(items));
}

absl::StatusOr<Value> ToJsonFilter(const Value& value, ArgumentReader& reader, Work& work) {
  int indent = -1;
  // transformers' order of parameters; the others change the form and are refused.
  const Value* ascii = reader.Next("ensure_ascii");
  const Value* given = reader.Next("indent");
  RETURN_IF_ERROR(reader.Check());
  if (ascii != nullptr && Truth(*ascii)) return Refuse("tojson with ensure_ascii");
  if (given != nullptr && !given->IsNone()) {
    const auto* number = given->As<int64_t>();
    if (number == nullptr || *number < 0 || *number > static_cast<int64_t>(kMaxIndent)) {
      return reader.Wrong("indent", given, StrCat("an int from 0 to ", kMaxIndent));
    }
    indent = static_cast<int>(*number);
  }
  const size_t indents =
      indent < 0 ? 0 : static_cast<size_t>(indent) * (value.depth() + 1) / 32 + 1;
  RETURN_IF_ERROR(work.Charge(6 * value.weight() + indents * value.weight()));
  ASSIGN_OR_RETURN(std::string text, ToJson(value, indent));
  return Value(std::move(text));
}

}  // namespace

absl::StatusOr<Value> ApplyFilter(std::string_view name, const Value& value,
                                  const CallArguments& arguments, Work& work) {
  ArgumentReader reader(name, arguments);
  constexpr std::string_view kText[] = {"trim",  "replace",    "indent", "upper",
                                        "lower", "capitalize", "title"};
  constexpr std::string_view kList[] = {"join",       "map",   "select", "reject", "selectattr",
                                        "rejectattr", "first", "last",   "list",   "reverse"};
  if (Has(kText, name)) {
    ASSIGN_OR_RETURN(const std::string text, Print(value), << name);
    RETURN_IF_ERROR(work.Charge(text.size()));
    return TextFilter(name, text, reader, work);
  }
  if (Has(kList, name)) return ListFilter(name, value, arguments, work);
  if (name == "tojson") return ToJsonFilter(value, reader, work);
  if (name == "default" || name == "d") {
    const Value* fallback = reader.Next("default_value");
    const Value* boolean = reader.Next("boolean");
    RETURN_IF_ERROR(reader.Check());
    const bool missing =
        value.IsUndefined() || (boolean != nullptr && Truth(*boolean) && !Truth(value));
    if (!missing) return value;
    return fallback == nullptr ? Value(std::string()) : *fallback;
  }
  constexpr std::string_view kPlain[] = {"length", "count", "string",  "safe",
                                         "int",    "items", "dictsort"};
  if (!Has(kPlain, name)) {
    return Refuse(StrCat("the filter \"", PrintableName(name), "\" is not known here"));
  }
  RETURN_IF_ERROR(reader.Check());
  if (name == "length" || name == "count") {
    if (const auto* text = value.As<std::string>()) {
      return Value(static_cast<int64_t>(CountCharacters(*text)));
    }
    if (const List* list = value.AsList()) return Value(static_cast<int64_t>(list->items.size()));
    if (const Dict* dict = value.AsDict(); dict && !dict->is_namespace && !dict->is_loop) {
      return Value(static_cast<int64_t>(dict->members.size()));
    }
    if (value.IsUndefined()) return Value(int64_t{0});
    return Refuse(StrCat("length of a ", KindOf(value)));
  }
  if (name == "string" || name == "safe") {
    ASSIGN_OR_RETURN(std::string text, Print(value), << name);
    return Value(std::move(text));
  }
  if (name == "int") return ToInt(value);
  const Dict* dict = value.AsDict();
  if (name == "items" && value.IsUndefined()) return MakeList({});
  if (dict == nullptr) return Refuse(StrCat(name, " of a ", KindOf(value)));
  if (name == "items") return MembersOf(*dict, "items", work);
  RETURN_IF_ERROR(work.Charge(64 * dict->members.size()));
  Dict sorted = *dict;
  for (const auto& [key, member] : sorted.members) {
    if (!IsAscii(key)) return Refuse("dictsort of names that are not ASCII");
  }
  // Without regard to case, and stable, as Jinja has it.
  std::stable_sort(sorted.members.begin(), sorted.members.end(), [](const auto& a, const auto& b) {
    return BeforeWithoutCase(a.first, b.first);
  });
  return MembersOf(sorted, "items", work);
}

}  // namespace quantized::jinja
