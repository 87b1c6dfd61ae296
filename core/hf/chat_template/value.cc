#include "core/hf/chat_template/value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized::jinja {
namespace {

constexpr size_t kValueWeight = 32;

// A namespace changes, so what holds one could grow behind its own bounds.
absl::Status CheckItem(const Value& item) {
  const Dict* dict = item.AsDict();
  if (dict == nullptr || !(dict->is_namespace || dict->is_loop)) return absl::OkStatus();
  return Refuse(StrCat("a ", KindOf(item), " inside a list or a dict"));
}

absl::Status CheckBounds(size_t depth, size_t weight) {
  if (depth > kMaxValueDepth) {
    return Refuse(StrCat("values nested deeper than ", kMaxValueDepth, " levels"));
  }
  if (weight > kMaxWeight) return Refuse(StrCat("values of more than ", kMaxWeight, " bytes"));
  return absl::OkStatus();
}

// repr() of a double: shortest digits that give it back, with an exponent outside 1e-4 … 1e16.
std::string PrintDouble(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 400> buffer;
  const double size = std::fabs(value);
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(buffer.data(), end.ptr);
  if (fixed && text.find('.') == std::string::npos) text += ".0";
  return text;
}

void AppendJsonText(std::string_view text, std::string& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\b':
        out += "\\b";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kDigits[c >> 4];
          out += kDigits[c & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

class JsonWriter {
 public:
  explicit JsonWriter(int indent) : indent_(indent) {}

  absl::Status Write(const Value& value, size_t depth) {
    if (const auto* text = value.As<std::string>()) {
      AppendJsonText(*text, out_);
    } else if (value.IsNone()) {
      out_ += "null";
    } else if (const auto* boolean = value.As<bool>()) {
      out_ += *boolean ? "true" : "false";
    } else if (const auto* integer = value.As<int64_t>()) {
      StrAppend(&out_, *integer);
    } else if (const auto* number = value.As<double>()) {
      if (!std::isfinite(*number)) return Refuse("tojson of a number that is not finite");
      out_ += PrintDouble(*number);
    } else if (const List* list = value.AsList()) {
      return WriteItems('[', ']', list->items.size(), depth,
                        [&](size_t i) { return Write(list->items[i], depth + 1); });
    } else if (const Dict* dict = value.AsDict(); dict && !dict->is_namespace && !dict->is_loop) {
      return WriteItems('{', '}', dict->members.size(), depth, [&](size_t i) {
        AppendJsonText(dict->members[i].first, out_);
        out_ += ": ";
        return Write(dict->members[i].second, depth + 1);
      });
    } else {
      return Refuse(StrCat("tojson of a value that is ", KindOf(value)));
    }
    return absl::OkStatus();
  }
  std::string Take() { return std::move(out_); }

 private:
  void NewLine(size_t depth) {
    if (indent_ < 0) return;
    out_ += '\n';
    out_.append(depth * static_cast<size_t>(indent_), ' ');
  }

  template <typename WriteItem>
  absl::Status WriteItems(char open, char close, size_t count, size_t depth, WriteItem write) {
    out_ += open;
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) out_ += indent_ < 0 ? ", " : ",";
      NewLine(depth + 1);
      RETURN_IF_ERROR(write(i));
    }
    if (count > 0) NewLine(depth);
    out_ += close;
    return absl::OkStatus();
  }

  int indent_;
  std::string out_;
};

bool IsSpace(std::string_view character) {
  if (character.size() == 1) {
    const unsigned char c = static_cast<unsigned char>(character[0]);
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
  }
  constexpr std::string_view kWide[] = {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2001",
                                        "\u2002", "\u2003", "\u2004", "\u2005", "\u2006",
                                        "\u2007", "\u2008", "\u2009", "\u200a", "\u2028",
                                        "\u2029", "\u202f", "\u205f", "\u3000"};
  return std::find(std::begin(kWide), std::end(kWide), character) != std::end(kWide);
}

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Bytes of the characters, from the beginning or the end on, for which `goes` holds.
template <typename Goes>
size_t LeadingBytes(std::string_view text, Goes goes) {
  size_t at = 0;
  while (at < text.size()) {
    size_t end = at + 1;
    while (end < text.size() && Continues(text[end])) ++end;
    if (!goes(text.substr(at, end - at))) break;
    at = end;
  }
  return at;
}
template <typename Goes>
size_t TrailingBytes(std::string_view text, Goes goes) {
  size_t end = text.size();
  while (end > 0) {
    size_t at = end - 1;
    while (at > 0 && Continues(text[at])) --at;
    if (!goes(text.substr(at, end - at))) break;
    end = at;
  }
  return text.size() - end;
}

}  // namespace

const List* Value::AsList() const {
  const auto* list = As<std::shared_ptr<const List>>();
  return list == nullptr ? nullptr : list->get();
}

const Dict* Value::AsDict() const {
  const auto* dict = As<std::shared_ptr<Dict>>();
  return dict == nullptr ? nullptr : dict->get();
}

Dict* Value::MutableNamespace() const {
  const auto* dict = As<std::shared_ptr<Dict>>();
  return dict == nullptr || !(*dict)->is_namespace ? nullptr : dict->get();
}

const Function* Value::AsFunction() const {
  const auto* function = As<std::shared_ptr<const Function>>();
  return function == nullptr ? nullptr : function->get();
}

bool Value::IsNumber() const { return As<bool>() || As<int64_t>() || As<double>(); }

size_t Value::depth() const {
  if (const List* list = AsList()) return list->depth;
  if (const Dict* dict = AsDict()) return dict->depth;
  return 0;
}

size_t Value::weight() const {
  if (const auto* text = As<std::string>()) return kValueWeight + text->size();
  if (const List* list = AsList()) return kValueWeight + list->weight;
  if (const Dict* dict = AsDict()) return kValueWeight + dict->weight;
  return kValueWeight;
}

absl::Status Refuse(std::string_view what) { return MakeError(Error::kValidationFailed, what); }

absl::StatusOr<Value> MakeList(std::vector<Value> items) {
  auto list = std::make_shared<List>();
  for (const Value& item : items) {
    RETURN_IF_ERROR(CheckItem(item));
    list->depth = std::max(list->depth, item.depth() + 1);
    list->weight += item.weight();  // no overflow: items are bounded, and fewer than 2^32
  }
  RETURN_IF_ERROR(CheckBounds(list->depth, list->weight));
  list->items = std::move(items);
  return Value(std::shared_ptr<const List>(std::move(list)));
}

absl::StatusOr<Value> MakeDict(std::vector<std::pair<std::string, Value>> members) {
  auto dict = std::make_shared<Dict>();
  for (const auto& [name, value] : members) {
    RETURN_IF_ERROR(CheckItem(value));
    dict->depth = std::max(dict->depth, value.depth() + 1);
    dict->weight += kValueWeight + name.size() + value.weight();
  }
  RETURN_IF_ERROR(CheckBounds(dict->depth, dict->weight));
  dict->members = std::move(members);
  return Value(std::move(dict));
}

const Value* FindMember(const Dict& dict, std::string_view name) {
  for (const auto& [key, value] : dict.members) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string_view KindOf(const Value& value) {
  if (value.IsUndefined()) return "undefined";
  if (value.IsNone()) return "none";
  if (value.As<bool>()) return "bool";
  if (value.As<int64_t>()) return "int";
  if (value.As<double>()) return "float";
  if (value.As<std::string>()) return "str";
  if (value.AsList()) return "list";
  if (value.AsDict()) {
    return value.AsDict()->is_namespace ? "namespace" : value.AsDict()->is_loop ? "loop" : "dict";
  }
  return "function";
}

bool Truth(const Value& value) {
  if (value.IsUndefined() || value.IsNone()) return false;
  if (value.IsNumber()) return AsDouble(value) != 0;
  if (const auto* text = value.As<std::string>()) return !text->empty();
  if (const List* list = value.AsList()) return !list->items.empty();
  if (const Dict* dict = value.AsDict()) {
    return dict->is_namespace || dict->is_loop || !dict->members.empty();
  }
  return true;
}

double AsDouble(const Value& number) {
  if (const auto* boolean = number.As<bool>()) return *boolean ? 1 : 0;
  if (const auto* integer = number.As<int64_t>()) return static_cast<double>(*integer);
  const auto* real = number.As<double>();
  return real == nullptr ? 0 : *real;
}

std::optional<int64_t> AsIndex(const Value& value) {
  if (const auto* integer = value.As<int64_t>()) return *integer;
  if (const auto* boolean = value.As<bool>()) return int64_t{*boolean};
  return std::nullopt;
}

namespace {

// The members in the order of their names, in which two dicts are compared without a search.
std::vector<const std::pair<std::string, Value>*> ByName(const Dict& dict) {
  std::vector<const std::pair<std::string, Value>*> members;
  for (const auto& member : dict.members) members.push_back(&member);
  std::ranges::sort(members, {},
                    [](const auto* member) { return std::string_view(member->first); });
  return members;
}

}  // namespace

bool Equal(const Value& a, const Value& b) {
  if (a.IsNumber() && b.IsNumber()) {
    const auto *x = a.As<int64_t>(), *y = b.As<int64_t>();
    return x && y ? *x == *y : AsDouble(a) == AsDouble(b);
  }
  if (a.IsUndefined() || a.IsNone()) return KindOf(a) == KindOf(b);
  const auto *text = a.As<std::string>(), *other_text = b.As<std::string>();
  if (text && other_text) return *text == *other_text;
  const List *list = a.AsList(), *other_list = b.AsList();
  if (list && other_list) {
    return list->items.size() == other_list->items.size() &&
           std::equal(list->items.begin(), list->items.end(), other_list->items.begin(), Equal);
  }
  const Dict *dict = a.AsDict(), *other_dict = b.AsDict();
  if (dict && other_dict) {
    const bool plain =
        !dict->is_namespace && !dict->is_loop && !other_dict->is_namespace && !other_dict->is_loop;
    return dict == other_dict ||
           (plain && std::ranges::equal(ByName(*dict), ByName(*other_dict),
                                        [](const auto* one, const auto* other) {
                                          return one->first == other->first &&
                                                 Equal(one->second, other->second);
                                        }));
  }
  return false;
}

absl::StatusOr<std::string> Print(const Value& value) {
  if (const auto* text = value.As<std::string>()) return *text;
  if (value.IsUndefined()) return std::string();
  if (value.IsNone()) return std::string("None");
  if (const auto* boolean = value.As<bool>()) return std::string(*boolean ? "True" : "False");
  if (const auto* integer = value.As<int64_t>()) return StrCat(*integer);
  if (const auto* number = value.As<double>()) return PrintDouble(*number);
  return Refuse(StrCat("a ", KindOf(value), " put out as text"));
}

absl::StatusOr<std::string> ToJson(const Value& value, int indent) {
  JsonWriter writer(indent);
  RETURN_IF_ERROR(writer.Write(value, 0));
  return writer.Take();
}

absl::StatusOr<Value> FromJson(const nlohmann::ordered_json& json) {
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::object: {
      std::vector<std::pair<std::string, Value>> members;
      for (const auto& [name, member] : json.items()) {
        ASSIGN_OR_RETURN(Value value, FromJson(member));
        members.emplace_back(name, std::move(value));
      }
      return MakeDict(std::move(members));
    }
    case nlohmann::ordered_json::value_t::array: {
      std::vector<Value> items;
      for (const auto& item : json) {
        ASSIGN_OR_RETURN(Value value, FromJson(item));
        items.push_back(std::move(value));
      }
      return MakeList(std::move(items));
    }
    case nlohmann::ordered_json::value_t::string:
      return Value(json.get<std::string>());
    case nlohmann::ordered_json::value_t::boolean:
      return Value(json.get<bool>());
    case nlohmann::ordered_json::value_t::number_integer:
      return Value(json.get<int64_t>());
    case nlohmann::ordered_json::value_t::number_unsigned:
      if (json.get<uint64_t>() > INT64_MAX) return Refuse("a whole number of more than 63 bits");
      return Value(json.get<int64_t>());
    case nlohmann::ordered_json::value_t::number_float:
      return Value(json.get<double>());
    case nlohmann::ordered_json::value_t::null:
      return Value(None{});
    default:
      return Refuse("a value that JSON has not");
  }
}

std::vector<std::string_view> Characters(std::string_view text) {
  std::vector<std::string_view> characters;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin + 1;
    while (end < text.size() && Continues(text[end])) ++end;
    characters.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return characters;
}

size_t CountCharacters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !Continues(c); }));
}

size_t LeadingSpace(std::string_view text) { return LeadingBytes(text, IsSpace); }

size_t TrailingSpace(std::string_view text) { return TrailingBytes(text, IsSpace); }

std::string Strip(std::string_view text, bool left, bool right, const std::string* characters) {
  std::vector<std::string_view> set;
  if (characters != nullptr) set = Characters(*characters);
  const auto goes = [&](std::string_view c) {
    return characters == nullptr ? IsSpace(c) : std::find(set.begin(), set.end(), c) != set.end();
  };
  if (left) text.remove_prefix(LeadingBytes(text, goes));
  if (right) text.remove_suffix(TrailingBytes(text, goes));
  return std::string(text);
}

}  // namespace quantized::jinja
