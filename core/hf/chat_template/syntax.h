// The parsed form of a template: expressions and statements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/hf/chat_template/value.h"

namespace quantized::jinja {

// Levels of brackets, of operators behind each other, of tags in tags. Deeper templates are
// refused, so that walking them needs no more stack; real ones stay below 25.
inline constexpr size_t kMaxSyntaxDepth = 100;

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;
// Positional ones first; the name of those is empty.
using Arguments = std::vector<std::pair<std::string, ExpressionPtr>>;

struct Expression {
  enum class Kind {
    kConstant,   // value
    kName,       // text
    kList,       // parts
    kDict,       // parts: name, value, name, value, …
    kAttribute,  // parts[0].text
    kItem,       // parts[0][parts[1]]
    kSlice,      // parts[0][parts[1]:parts[2]:parts[3]], any of the last three null
    kCall,       // parts[0](arguments)
    kFilter,     // parts[0] | text(arguments)
    kTest,       // parts[0] is text(arguments)
    kNot,        // parts[0]
    kMinus,      // parts[0]
    kAnd,        // parts[0], parts[1]
    kOr,
    kBinary,   // parts[0] text parts[1]; text an arithmetic operator or ~
    kCompare,  // parts[0] text parts[1]; text a comparison, "in" or "not in"
    kChoice,   // parts[0] if parts[1] else parts[2], which may be null
  };
  Kind kind = Kind::kConstant;
  std::string text;
  Value value;
  std::vector<ExpressionPtr> parts;
  Arguments arguments;
  uint32_t line = 0;
  size_t depth = 1;  // of the tree below
};

struct Statement;
using Block = std::vector<Statement>;

struct MacroNode {
  std::string name;
  std::vector<std::pair<std::string, ExpressionPtr>> parameters;  // with defaults, or null
  Block body;
};

struct Statement {
  enum class Kind {
    kText,      // text
    kOutput,    // expression
    kFor,       // targets in expression (if condition): bodies[0], else bodies[1]
    kIf,        // conditions[i]: bodies[i]; one more body: else
    kSet,       // targets (attribute) = expression
    kSetBlock,  // targets[0] = bodies[0]
    kMacro,
    kBlock,  // bodies[0] as it stands: {% generation %}
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kText;
  std::string text;
  std::vector<std::string> targets;
  std::string attribute;  // of a namespace named targets[0]
  ExpressionPtr expression;
  ExpressionPtr condition;
  std::vector<ExpressionPtr> conditions;
  std::vector<Block> bodies;
  std::unique_ptr<MacroNode> macro;
  uint32_t line = 0;
};

}  // namespace quantized::jinja
