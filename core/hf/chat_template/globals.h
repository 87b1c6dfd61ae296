// The functions that a template can call without defining them: raise_exception, range, namespace,
// dict. docs/design/chat-templates.md, "What is rendered".
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "core/hf/chat_template/call.h"
#include "core/hf/chat_template/value.h"

namespace quantized::jinja {

// Whether `name` is one of them.
bool IsGlobal(std::string_view name);

// name(arguments), where IsGlobal(name). Errors: kInvalidArgument from raise_exception, which
// carries the template's message; kValidationFailed for arguments that the function cannot take,
// for a range that is too long, and where no work is left.
absl::StatusOr<Value> CallGlobal(std::string_view name, const CallArguments& arguments, Work& work);

}  // namespace quantized::jinja
