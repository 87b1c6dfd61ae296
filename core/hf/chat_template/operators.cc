#include "core/hf/chat_template/operators.h"

#include <algorithm>
#include <optional>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized::jinja {
namespace {

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

}  // namespace quantized::jinja
