// Cuts a template into text, outputs {{ … }} and tags {% … %}, and the inside of these into tokens,
// as Jinja does with trim_blocks and lstrip_blocks, which transformers sets:
// docs/design/chat-templates.md, "White space".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quantized::jinja {

struct Token {
  enum class Kind { kName, kString, kInteger, kFloat, kOperator, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;  // of a string: what it stands for
  uint32_t line = 0;
};

struct Segment {
  enum class Kind { kText, kOutput, kTag };
  Kind kind = Kind::kText;
  std::string text;           // of kText
  std::vector<Token> tokens;  // of the others; the last is kEnd
  uint32_t line = 0;
};

// `source` is UTF-8. Errors: kValidationFailed, naming the line.
absl::StatusOr<std::vector<Segment>> Cut(std::string_view source);

}  // namespace quantized::jinja
