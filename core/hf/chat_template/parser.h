// Parses a template. What the subset has: docs/design/chat-templates.md, "What is rendered".
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "core/hf/chat_template/syntax.h"

namespace quantized::jinja {

// `source` is UTF-8. Errors: kValidationFailed, naming the line and what it cannot take.
absl::StatusOr<Block> Parse(std::string_view source);

}  // namespace quantized::jinja
