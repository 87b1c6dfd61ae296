// What a value holds: by index, by slice, and one by one in a loop.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "core/hf/chat_template/call.h"
#include "core/hf/chat_template/value.h"

namespace quantized::jinja {

// value[index] for any index: a member or an attribute by name, an item of a list or a character by
// number, from behind below 0; an undefined value where there is none. Charges for what is looked
// through. Errors: kValidationFailed for an undefined `value`, for an index of another kind, and as
// GetAttribute().
absl::StatusOr<Value> GetItem(const Value& value, const Value& index, Work& work);

// value[begin:end:step] of a list or a text by Python's rules; bounds are whole numbers, or none
// where they are absent. Charges nothing. Errors: kValidationFailed for a value or a bound of
// another kind, and for step 0.
absl::StatusOr<Value> GetSlice(const Value& value, const Value& begin, const Value& end,
                               const Value& step);

// What a loop runs over: items, characters, names of members; nothing for an undefined value.
// Errors: kValidationFailed for all other kinds, and where no work is left.
absl::StatusOr<std::vector<Value>> ItemsOf(const Value& value, Work& work);

}  // namespace quantized::jinja
