#include "core/hf/chat_template/builtins.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized::jinja {
namespace {

constexpr size_t kMaxRange = 100'000;
constexpr size_t kMaxIndent = 64;

// Reads the arguments of a call by place or name; Check() then refuses what is left over.
class ArgumentReader {
 public:
  ArgumentReader(std::string_view call, const CallArguments& arguments)
      : call_(call), arguments_(arguments) {}

  // The argument at the next place; null when it is not given.
  const Value* Next(std::string_view name) {
    const size_t place = places_++;
    if (place < arguments_.positional.size()) return &arguments_.positional[place];
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) {
        ++named_;
        return &value;
      }
    }
    return nullptr;
  }
  absl::StatusOr<std::string> Text(std::string_view name) {
    const Value* value = Next(name);
    const auto* text = value == nullptr ? nullptr : value->As<std::string>();
    if (text == nullptr) return Wrong(name, value, "str");
    return *text;
  }
  absl::Status Wrong(std::string_view name, const Value* found, std::string_view expected) const {
    return Refuse(StrCat(call_, ": argument ", name, " is ",
                         found == nullptr ? "missing" : KindOf(*found), ", expected ", expected));
  }
  absl::Status Check() const {
    if (arguments_.positional.size() <= places_ && arguments_.named.size() == named_) {
      return absl::OkStatus();
    }
    return Refuse(StrCat(call_, ": arguments that are not known here"));
  }

 private:
  std::string_view call_;
  const CallArguments& arguments_;
  size_t places_ = 0, named_ = 0;
};

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}
char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// upper, lower, capitalize, title. Only ASCII: Python's rules for the rest are a table of their
// own.
absl::StatusOr<Value> ChangeCase(std::string_view how, std::string text) {
  if (!IsAscii(text)) return Refuse(StrCat(how, " of a text that is not ASCII"));
  bool starts = true;  // the next letter is a word's first
  for (char& c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool up = how == "upper" || (how != "lower" && starts);
    c = up ? Upper(c) : Lower(c);
    starts = how == "title" ? !letter : false;
  }
  return Value(std::move(text));
}

absl::StatusOr<Value> Replace(const std::string& text, const std::string& from,
                              const std::string& to, Work& work) {
  if (from.empty()) return Refuse("replace of an empty text");
  size_t count = 0;
  for (size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + from.size())) {
    ++count;
  }
  RETURN_IF_ERROR(work.Charge(text.size() + count * to.size()));
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, done)) {
    out.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  out.append(text, done);
  return Value(std::move(out));
}

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
      ASSIGN_OR_RETURN(subject, GetItem(item, Value(attribute)));
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
      ASSIGN_OR_RETURN(Value value, GetItem(item, Value(attribute)));
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

absl::StatusOr<Value> MembersOf(const Dict& dict, std::string_view what) {
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

template <size_t N>
bool Has(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

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

std::optional<int64_t> AsIndex(const Value& value) {
  if (const auto* integer = value.As<int64_t>()) return *integer;
  if (const auto* boolean = value.As<bool>()) return int64_t{*boolean};
  return std::nullopt;
}

absl::StatusOr<Value> WholeArithmetic(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (op == "+") overflow = __builtin_add_overflow(a, b, &result);
  if (op == "-") overflow = __builtin_sub_overflow(a, b, &result);
  if (op == "*") overflow = __builtin_mul_overflow(a, b, &result);
  if (op == "//" || op == "%") {
    if (b == 0) return Refuse("division by zero");
    if (b == -1) {  // INT64_MIN / -1 does not exist
      overflow = op == "//" && __builtin_sub_overflow(int64_t{0}, a, &result);
    } else {
      // Python rounds down, C++ towards zero.
      const int64_t down = a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0;
      result = op == "//" ? a / b - down : a % b + down * b;
    }
  }
  if (overflow) return Refuse("a whole number of more than 64 bits");
  return Value(result);
}

}  // namespace

absl::Status Work::Charge(size_t bytes) {
  if (bytes > left_) return Refuse("more work than is granted to one conversation");
  left_ -= bytes;
  return absl::OkStatus();
}

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
  if (name == "items") return MembersOf(*dict, "items");
  Dict sorted = *dict;
  for (const auto& [key, member] : sorted.members) {
    if (!IsAscii(key)) return Refuse("dictsort of names that are not ASCII");
  }
  // Without regard to case, and stable, as Jinja has it.
  std::stable_sort(sorted.members.begin(), sorted.members.end(), [](const auto& a, const auto& b) {
    return std::lexicographical_compare(a.first.begin(), a.first.end(), b.first.begin(),
                                        b.first.end(),
                                        [](char x, char y) { return Lower(x) < Lower(y); });
  });
  return MembersOf(sorted, "items");
}

absl::StatusOr<bool> ApplyTest(std::string_view name, const Value& value,
                               const CallArguments& arguments, Work& work) {
  constexpr std::string_view kKnown[] = {
      "eq",       "equalto", "==",       "ne",       "!=",    "in",     "defined", "undefined",
      "none",     "string",  "boolean",  "integer",  "float", "number", "true",    "false",
      "callable", "mapping", "iterable", "sequence", "odd",   "even"};
  if (!Has(kKnown, name)) {
    return Refuse(StrCat("the test \"", PrintableName(name), "\" is not known here"));
  }
  ArgumentReader reader(name, arguments);
  constexpr std::string_view kTwo[] = {"eq", "equalto", "==", "ne", "!=", "in"};
  if (Has(kTwo, name)) {
    const Value* other = reader.Next("other");
    RETURN_IF_ERROR(reader.Check());
    if (other == nullptr) return reader.Wrong("other", other, "a value");
    if (name == "in") return Contains(*other, value, work);
    RETURN_IF_ERROR(work.Charge(value.weight()));
    return Equal(value, *other) == (name != "ne" && name != "!=");
  }
  RETURN_IF_ERROR(reader.Check());
  if (name == "defined") return !value.IsUndefined();
  if (name == "undefined") return value.IsUndefined();
  if (name == "none") return value.IsNone();
  if (name == "string") return value.As<std::string>() != nullptr;
  if (name == "boolean") return value.As<bool>() != nullptr;
  if (name == "integer") return value.As<int64_t>() != nullptr;
  if (name == "float") return value.As<double>() != nullptr;
  if (name == "number") return value.IsNumber();
  if (name == "true") return value.As<bool>() && *value.As<bool>();
  if (name == "false") return value.As<bool>() && !*value.As<bool>();
  if (name == "callable") return value.AsFunction() != nullptr;
  const Dict* dict = value.AsDict();
  const bool mapping = dict != nullptr && !dict->is_namespace && !dict->is_loop;
  if (name == "mapping") return mapping;
  const bool holds_items = mapping || value.AsList() || value.As<std::string>();
  // An undefined value has a length and can be looped over, in Jinja.
  if (name == "iterable") return holds_items || value.IsUndefined() || (dict && dict->is_loop);
  if (name == "sequence") return holds_items || value.IsUndefined();
  const auto number = AsIndex(value);  // odd or even
  if (!number.has_value()) return Refuse(StrCat(name, " of a ", KindOf(value)));
  return (*number % 2 != 0) == (name == "odd");
}

absl::StatusOr<Value> GetAttribute(const Value& value, std::string_view name) {
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
    if (const Value* member = FindMember(*dict, name)) return *member;
  } else if (value.AsFunction() != nullptr) {
    return Refuse(StrCat("the attribute \"", PrintableName(name), "\" of a function"));
  }
  return Value(Undefined{std::string(name)});
}

absl::StatusOr<Value> GetItem(const Value& value, const Value& index) {
  if (const auto* undefined = value.As<Undefined>()) {
    return Refuse(StrCat("\"", PrintableName(undefined->name), "\" is undefined, so has no items"));
  }
  if (const auto* name = index.As<std::string>()) {
    if (const Dict* dict = value.AsDict()) {
      if (const Value* member = FindMember(*dict, *name)) return *member;
    }
    // Jinja looks for an attribute of that name next; there, too, a member is none.
    return GetAttribute(value, *name);
  }
  const std::optional<int64_t> place = AsIndex(index);
  if (!place.has_value()) return Refuse(StrCat("an index that is a ", KindOf(index)));
  const auto at = [&](size_t size) -> std::optional<size_t> {
    const int64_t i = *place < 0 ? *place + static_cast<int64_t>(size) : *place;
    if (i < 0 || static_cast<uint64_t>(i) >= size) return std::nullopt;
    return static_cast<size_t>(i);
  };
  if (const List* list = value.AsList()) {
    if (const auto i = at(list->items.size())) return list->items[*i];
  } else if (const auto* text = value.As<std::string>()) {
    const std::vector<std::string_view> characters = Characters(*text);
    if (const auto i = at(characters.size())) return Value(std::string(characters[*i]));
  }
  return Value(Undefined{StrCat("item ", *place)});
}

absl::StatusOr<Value> GetSlice(const Value& value, const Value& begin, const Value& end,
                               const Value& step) {
  std::vector<std::string_view> characters;
  const List* list = value.AsList();
  const auto* text = value.As<std::string>();
  if (text != nullptr) characters = Characters(*text);
  if (list == nullptr && text == nullptr) return Refuse(StrCat("a slice of a ", KindOf(value)));
  const auto size = static_cast<int64_t>(list ? list->items.size() : characters.size());
  for (const Value* bound : {&begin, &end, &step}) {
    if (!bound->IsNone() && !AsIndex(*bound).has_value()) {
      return Refuse(StrCat("a slice with a bound that is a ", KindOf(*bound)));
    }
  }
  const int64_t stride = AsIndex(step).value_or(1);
  if (stride == 0) return Refuse("a slice with step 0");
  // Where Python begins and ends: bounds from behind, then clamped.
  const auto bound = [&](const Value& given, int64_t absent) {
    const auto index = AsIndex(given);
    if (!index.has_value()) return absent;
    const int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? size : size - 1;
    return std::clamp(*index < 0 ? *index + size : *index, low, high);
  };
  const int64_t first = bound(begin, stride > 0 ? 0 : size - 1);
  const int64_t last = bound(end, stride > 0 ? size : -1);
  std::string part;
  std::vector<Value> items;
  for (int64_t i = first; stride > 0 ? i < last : i > last;) {
    if (list != nullptr) {
      items.push_back(list->items[static_cast<size_t>(i)]);
    } else {
      part += characters[static_cast<size_t>(i)];
    }
    if (stride > size || stride < -size) break;  // no second one, and no overflow
    i += stride;
  }
  if (list != nullptr) return MakeList(std::move(items));
  return Value(std::move(part));
}

absl::StatusOr<Value> CallMethod(const Value& self, std::string_view name,
                                 const CallArguments& arguments, Work& work) {
  ArgumentReader reader(name, arguments);
  if (const auto* text = self.As<std::string>()) {
    return CallTextMethod(*text, name, reader, work);
  }
  const Dict* dict = self.AsDict();
  if (dict == nullptr) return Refuse(StrCat("a method of a ", KindOf(self)));
  RETURN_IF_ERROR(work.Charge(64 * dict->members.size()));
  if (name != "get") {
    RETURN_IF_ERROR(reader.Check());
    return MembersOf(*dict, name);
  }
  ASSIGN_OR_RETURN(const std::string key, reader.Text("key"));
  const Value* fallback = reader.Next("default");
  RETURN_IF_ERROR(reader.Check());
  if (const Value* member = FindMember(*dict, key)) return *member;
  return fallback == nullptr ? Value(None{}) : *fallback;
}

bool IsGlobal(std::string_view name) {
  return name == "raise_exception" || name == "range" || name == "namespace" || name == "dict";
}

absl::StatusOr<Value> CallGlobal(std::string_view name, const CallArguments& arguments,
                                 Work& work) {
  if (name == "raise_exception") {
    ArgumentReader reader(name, arguments);
    ASSIGN_OR_RETURN(const std::string message, reader.Text("message"));
    RETURN_IF_ERROR(reader.Check());
    return MakeError(Error::kInvalidArgument,
                     StrCat("the template refuses the conversation: ", PrintableName(message)));
  }
  if (name == "range") {
    int64_t bounds[3] = {0, 0, 1};
    const size_t count = arguments.positional.size();
    if (count < 1 || count > 3 || !arguments.named.empty()) return Refuse("range: arguments");
    for (size_t i = 0; i < count; ++i) {
      const auto number = AsIndex(arguments.positional[i]);
      if (!number.has_value()) return Refuse("range with a bound that is no whole number");
      bounds[count == 1 ? 1 : i] = *number;
    }
    if (bounds[2] == 0) return Refuse("range with step 0");
    std::vector<Value> items;
    for (int64_t i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1];) {
      RETURN_IF_ERROR(work.Charge(64));
      if (items.size() == kMaxRange) return Refuse(StrCat("a range longer than ", kMaxRange));
      items.emplace_back(i);
      if (__builtin_add_overflow(i, bounds[2], &i)) break;
    }
    return MakeList(std::move(items));
  }
  if (!arguments.positional.empty()) {
    return Refuse(StrCat(name, " with arguments that have no name"));
  }
  ASSIGN_OR_RETURN(Value value, MakeDict(arguments.named));
  if (name == "namespace") {
    auto space = std::make_shared<Dict>(*value.AsDict());
    space->is_namespace = true;
    return Value(std::move(space));
  }
  return value;
}

absl::StatusOr<bool> Contains(const Value& haystack, const Value& needle, Work& work) {
  if (const auto* text = haystack.As<std::string>()) {
    const auto* part = needle.As<std::string>();
    if (part == nullptr) return Refuse(StrCat("a ", KindOf(needle), " in a str"));
    RETURN_IF_ERROR(work.Charge(text->size()));
    return text->find(*part) != std::string::npos;
  }
  if (const List* list = haystack.AsList()) {
    RETURN_IF_ERROR(work.Charge(haystack.weight()));
    return std::any_of(list->items.begin(), list->items.end(),
                       [&](const Value& item) { return Equal(item, needle); });
  }
  if (const Dict* dict = haystack.AsDict(); dict && !dict->is_namespace && !dict->is_loop) {
    RETURN_IF_ERROR(work.Charge(32 * dict->members.size()));
    const auto* name = needle.As<std::string>();
    return name != nullptr && FindMember(*dict, *name) != nullptr;
  }
  if (haystack.IsUndefined()) return false;
  return Refuse(StrCat("\"in\" a ", KindOf(haystack)));
}

absl::StatusOr<std::vector<Value>> ItemsOf(const Value& value, Work& work) {
  std::vector<Value> items;
  if (const List* list = value.AsList()) {
    RETURN_IF_ERROR(work.Charge(64 * list->items.size()));
    items = list->items;
  } else if (const auto* text = value.As<std::string>()) {
    RETURN_IF_ERROR(work.Charge(64 * text->size()));
    for (const std::string_view c : Characters(*text)) items.emplace_back(std::string(c));
  } else if (const Dict* dict = value.AsDict(); dict && !dict->is_namespace && !dict->is_loop) {
    RETURN_IF_ERROR(work.Charge(64 * dict->members.size()));
    for (const auto& [name, member] : dict->members) items.emplace_back(name);
  } else if (!value.IsUndefined()) {
    return Refuse(StrCat("a loop over a ", KindOf(value)));
  }
  return items;
}

absl::StatusOr<Value> Arithmetic(std::string_view op, const Value& a, const Value& b, Work& work) {
  const auto wrong = [&] {
    return Refuse(StrCat("the operator ", op, " between ", KindOf(a), " and ", KindOf(b)));
  };
  if (op == "~") {
    ASSIGN_OR_RETURN(std::string text, Print(a));
    ASSIGN_OR_RETURN(const std::string more, Print(b));
    return Value(text + more);
  }
  const auto *text = a.As<std::string>(), *more_text = b.As<std::string>();
  if (text && more_text && op == "+") return Value(*text + *more_text);
  const List *list = a.AsList(), *more = b.AsList();
  if (list && more && op == "+") {
    RETURN_IF_ERROR(work.Charge(32 * (list->items.size() + more->items.size())));
    std::vector<Value> items = list->items;
    items.insert(items.end(), more->items.begin(), more->items.end());
    return MakeList(std::move(items));
  }
  if (!a.IsNumber() || !b.IsNumber()) return wrong();
  const auto x = AsIndex(a), y = AsIndex(b);
  if (x.has_value() && y.has_value() && op != "/") return WholeArithmetic(op, *x, *y);
  const double left = AsDouble(a), right = AsDouble(b);
  if (op == "+") return Value(left + right);
  if (op == "-") return Value(left - right);
  if (op == "*") return Value(left * right);
  if (op != "/") return wrong();
  if (right == 0) return Refuse("division by zero");
  return Value(left / right);
}

absl::StatusOr<bool> Ordered(std::string_view op, const Value& a, const Value& b) {
  const auto holds = [&](const auto& x, const auto& y) {
    return op == "<" ? x < y : op == "<=" ? x <= y : op == ">" ? x > y : x >= y;
  };
  const auto *text = a.As<std::string>(), *other = b.As<std::string>();
  if (text && other) return holds(*text, *other);
  const auto x = AsIndex(a), y = AsIndex(b);
  if (x.has_value() && y.has_value()) return holds(*x, *y);
  if (a.IsNumber() && b.IsNumber()) return holds(AsDouble(a), AsDouble(b));
  return Refuse(StrCat("the comparison ", op, " of ", KindOf(a), " and ", KindOf(b)));
}

}  // namespace quantized::jinja
