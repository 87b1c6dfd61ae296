#include "core/hf/chat_template/predicates.h"

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/chat_template/operators.h"
#include "core/tensor/text.h"

namespace quantized::jinja {

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

}  // namespace quantized::jinja
