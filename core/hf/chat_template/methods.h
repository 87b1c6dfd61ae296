// What stands behind a dot: members of dicts, and the methods of str and dict that real templates
// use. Python's other methods are refused by name, so that none is taken for a member that is not
// there: docs/design/chat-templates.md, "What is rendered", has the list.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "core/hf/chat_template/call.h"
#include "core/hf/chat_template/value.h"

namespace quantized::jinja {

// value.name: a method, else a member, else an undefined value. Errors: kValidationFailed for any
// name of an undefined value or a function, for a method that is not known, and for a name that
// begins with two underscores, and where no work is left.
absl::StatusOr<Value> GetAttribute(const Value& value, std::string_view name, Work& work);

// self.name(arguments) for a method that GetAttribute() gave. Errors: kValidationFailed for
// arguments that it cannot take, and where no work is left.
absl::StatusOr<Value> CallMethod(const Value& self, std::string_view name,
                                 const CallArguments& arguments, Work& work);

// A list of the dict's "keys", "values" or "items", as `what` says, in its order; an item is a list
// of name and value. Errors: kValidationFailed where the list would be nested too deeply or weigh
// too much, and where no work is left.
absl::StatusOr<Value> MembersOf(const Dict& dict, std::string_view what, Work& work);

}  // namespace quantized::jinja
