// Runs a parsed template over variables.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/hf/chat_template/syntax.h"

namespace quantized::jinja {

// The text that `block` makes. Touches nothing but its arguments; ends after a bounded amount of
// work (Work in call.h). Errors: kInvalidArgument where the template raises; kValidationFailed,
// naming the line, for what it cannot do and for what is more than a bound.
absl::StatusOr<std::string> Evaluate(const Block& block,
                                     std::vector<std::pair<std::string, Value>> variables);

}  // namespace quantized::jinja
