// The operators between two values. Whole numbers have 64 bits: more is an error, never another
// number. A bool counts as 0 or 1, as in Python.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "core/hf/chat_template/call.h"
#include "core/hf/chat_template/value.h"

namespace quantized::jinja {

// a OP b for + - * / // % ~. Charges for lists; the caller charges for a text that results. Errors:
// kValidationFailed between kinds that the operator does not take, for a division by zero and a
// result that is too large, and where no work is left.
absl::StatusOr<Value> Arithmetic(std::string_view op, const Value& a, const Value& b, Work& work);

// a OP b for < <= > >= between two texts or two numbers. Errors: kValidationFailed for all else.
absl::StatusOr<bool> Ordered(std::string_view op, const Value& a, const Value& b);

// needle in haystack: a part of a text, an item of a list, the name of a member; nothing is in an
// undefined value. Errors: kValidationFailed for all other kinds, and where no work is left.
absl::StatusOr<bool> Contains(const Value& haystack, const Value& needle, Work& work);

}  // namespace quantized::jinja
