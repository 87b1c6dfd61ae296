// The filters of the template language, value | name(arguments), that real templates use. Another
// name is refused by name: docs/design/chat-templates.md, "What is rendered", has the list.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "core/hf/chat_template/call.h"
#include "core/hf/chat_template/value.h"

namespace quantized::jinja {

// value | name(arguments). Errors: kValidationFailed for a filter that is not known, for a value or
// an argument that it cannot take, and where no work is left.
absl::StatusOr<Value> ApplyFilter(std::string_view name, const Value& value,
                                  const CallArguments& arguments, Work& work);

}  // namespace quantized::jinja
