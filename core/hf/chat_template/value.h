// Values of the template language: what Python has for them in Jinja, less what templates of models
// do not need. docs/design/chat-templates.md, "Values".
// A value is immutable but for a namespace; copies share their contents. Not for several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized::jinja {

// Lists in lists deeper than this are refused, so that walking them needs no more stack.
inline constexpr size_t kMaxValueDepth = 100;
// Values together weigh no more than this: about their bytes, counted as often as they are seen.
inline constexpr size_t kMaxWeight = size_t{64} << 20;

class Value;
struct MacroNode;

struct Undefined {
  std::string name;  // of what is not there, for messages
};
struct None {};

// Members keep the order in which they were added.
struct Dict {
  std::vector<std::pair<std::string, Value>> members;
  size_t depth = 1;
  size_t weight = 0;
  bool is_namespace = false;
  bool is_loop = false;
};
struct List {
  std::vector<Value> items;
  size_t depth = 1;
  size_t weight = 0;
};
// `name` of `self` where it is a method; a global function or a macro otherwise.
struct Function {
  std::string name;
  std::shared_ptr<const Value> self;  // shared with copies of the value
  const MacroNode* macro = nullptr;   // lives in the template
};

class Value {
 public:
  using Variant = std::variant<Undefined, None, bool, int64_t, double, std::string,
                               std::shared_ptr<const List>,  // shared: copies are cheap
                               std::shared_ptr<Dict>, std::shared_ptr<const Function>>;

  Value() : variant_(Undefined{}) {}
  Value(Undefined undefined) : variant_(std::move(undefined)) {}          // NOLINT
  Value(None none) : variant_(none) {}                                    // NOLINT
  Value(bool value) : variant_(value) {}                                  // NOLINT
  Value(int64_t value) : variant_(value) {}                               // NOLINT
  Value(double value) : variant_(value) {}                                // NOLINT
  Value(std::string text) : variant_(std::move(text)) {}                  // NOLINT
  Value(std::shared_ptr<const List> list) : variant_(std::move(list)) {}  // NOLINT
  Value(std::shared_ptr<Dict> dict) : variant_(std::move(dict)) {}        // NOLINT
  Value(std::shared_ptr<const Function> f) : variant_(std::move(f)) {}    // NOLINT

  template <typename T>
  const T* As() const {
    return std::get_if<T>(&variant_);
  }
  const List* AsList() const;  // null when it is none; likewise below
  const Dict* AsDict() const;
  Dict* MutableNamespace() const;
  const Function* AsFunction() const;
  bool IsUndefined() const { return As<Undefined>() != nullptr; }
  bool IsNone() const { return As<None>() != nullptr; }
  bool IsNumber() const;  // bool too, as in Python
  size_t depth() const;   // 0 unless it is a list or a dict
  size_t weight() const;

 private:
  Variant variant_;
};

// Errors: kValidationFailed where the result would be nested too deeply or weigh
// too much.
absl::StatusOr<Value> MakeList(std::vector<Value> items);
absl::StatusOr<Value> MakeDict(std::vector<std::pair<std::string, Value>> members);

// Null when there is no such member; points into `dict`.
const Value* FindMember(const Dict& dict, std::string_view name);

// What a Python programmer calls the kind: "str", "list", "undefined".
std::string_view KindOf(const Value& value);

bool Truth(const Value& value);
bool Equal(const Value& a, const Value& b);
// The whole number or the double of a number, as a double.
double AsDouble(const Value& number);
// The whole number of an int, or of a bool, which is 0 or 1 as in Python; none for all else.
std::optional<int64_t> AsIndex(const Value& value);

// str(value) for texts, numbers, booleans and none; an undefined value gives nothing. Errors:
// kValidationFailed for anything else, which Python would print by its own rules.
absl::StatusOr<std::string> Print(const Value& value);

// json.dumps(value, ensure_ascii=False, indent=indent), `indent` < 0 for None. Errors:
// kValidationFailed for what JSON has not.
absl::StatusOr<std::string> ToJson(const Value& value, int indent);

// Errors: kValidationFailed where the nesting is too deep.
absl::StatusOr<Value> FromJson(const nlohmann::ordered_json& json);

// A text's code points, which templates index and count.
size_t CountCharacters(std::string_view text);
std::vector<std::string_view> Characters(std::string_view text);  // points into `text`

// Bytes of white space, as Python knows it, that `text` begins or ends with.
size_t LeadingSpace(std::string_view text);
size_t TrailingSpace(std::string_view text);

// str.strip and its halves: of white space, or of the characters in `characters` where it is given.
std::string Strip(std::string_view text, bool left, bool right, const std::string* characters);

// A refusal: kValidationFailed.
absl::Status Refuse(std::string_view what);

}  // namespace quantized::jinja
