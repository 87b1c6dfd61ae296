// The tests of the template language, value is name(arguments), that real templates use: predicates
// here, since a test is otherwise what checks our code. Another name is refused by name:
// docs/design/chat-templates.md, "What is rendered", has the list.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "core/hf/chat_template/call.h"
#include "core/hf/chat_template/value.h"

namespace quantized::jinja {

// Whether value is name(arguments); "is not" is the caller's. Errors: kValidationFailed for a test
// that is not known, for a value or an argument that it cannot take, and where no work is left.
absl::StatusOr<bool> ApplyTest(std::string_view name, const Value& value,
                               const CallArguments& arguments, Work& work);

}  // namespace quantized::jinja
