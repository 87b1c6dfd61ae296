#include "core/hf/chat_template/expression_parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized::jinja {
namespace {

using Kind = Expression::Kind;

}  // namespace

bool ExpressionParser::IsOperator(std::string_view text) const {
  return Peek().kind == Token::Kind::kOperator && Peek().text == text;
}

bool ExpressionParser::IsName(std::string_view text) const {
  return Peek().kind == Token::Kind::kName && Peek().text == text;
}

absl::Status ExpressionParser::Wrong(std::string_view expected) const {
  const std::string found =
      AtEnd() ? "the tag's end" : StrCat("\"", PrintableName(Peek().text), "\"");
  return Refuse(StrCat("line ", line(), ": expected ", expected, ", found ", found));
}

absl::Status ExpressionParser::Expect(std::string_view text) {
  return TakeOperator(text) ? absl::OkStatus() : Wrong(StrCat("\"", text, "\""));
}

absl::Status ExpressionParser::ExpectEnd() const {
  return AtEnd() ? absl::OkStatus() : Wrong("the tag's end");
}

absl::StatusOr<std::string> ExpressionParser::Name(std::string_view what) {
  if (Peek().kind != Token::Kind::kName) return Wrong(what);
  return Take().text;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Parse() {
  if (++depth_ > kMaxSyntaxDepth) return TooDeep();
  auto result = Choice();
  --depth_;
  return result;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseTuple() {
  ASSIGN_OR_RETURN(ExpressionPtr first, Parse());
  if (!IsOperator(",")) return first;
  ASSIGN_OR_RETURN(ExpressionPtr list, Make(Kind::kList, "", std::move(first)));
  while (TakeOperator(",") && !AtEnd()) {
    ASSIGN_OR_RETURN(ExpressionPtr part, Parse());
    list->parts.push_back(std::move(part));
  }
  return Checked(std::move(list));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseWithoutChoice() { return Or(); }

absl::Status ExpressionParser::TooDeep() const {
  return Refuse(StrCat("line ", line(), ": an expression nested deeper than ", kMaxSyntaxDepth));
}

template <typename... T>
absl::StatusOr<ExpressionPtr> ExpressionParser::Make(Kind kind, std::string text, T... parts) {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->text = std::move(text);
  node->line = line();
  (node->parts.push_back(std::move(parts)), ...);
  return Checked(std::move(node));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Checked(ExpressionPtr node) const {
  const auto grow = [&](const ExpressionPtr& part) {
    if (part != nullptr) node->depth = std::max(node->depth, part->depth + 1);
  };
  for (const ExpressionPtr& part : node->parts) grow(part);
  for (const auto& [name, argument] : node->arguments) grow(argument);
  if (node->depth > kMaxSyntaxDepth) return TooDeep();
  return node;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Constant(Value value) {
  auto node = std::make_unique<Expression>();
  node->value = std::move(value);
  node->line = line();
  return node;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Choice() {
  ASSIGN_OR_RETURN(ExpressionPtr value, Or());
  while (TakeName("if")) {
    ASSIGN_OR_RETURN(ExpressionPtr condition, Or());
    ExpressionPtr otherwise;
    if (TakeName("else")) {
      ASSIGN_OR_RETURN(otherwise, Parse());
    }
    ASSIGN_OR_RETURN(value, Make(Kind::kChoice, "", std::move(value), std::move(condition),
                                 std::move(otherwise)));
  }
  return value;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Or() {
  ASSIGN_OR_RETURN(ExpressionPtr left, And());
  while (TakeName("or")) {
    ASSIGN_OR_RETURN(ExpressionPtr right, And());
    ASSIGN_OR_RETURN(left, Make(Kind::kOr, "", std::move(left), std::move(right)));
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::And() {
  ASSIGN_OR_RETURN(ExpressionPtr left, Not());
  while (TakeName("and")) {
    ASSIGN_OR_RETURN(ExpressionPtr right, Not());
    ASSIGN_OR_RETURN(left, Make(Kind::kAnd, "", std::move(left), std::move(right)));
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Not() {
  if (!TakeName("not")) return Compare();
  if (++depth_ > kMaxSyntaxDepth) return TooDeep();
  ASSIGN_OR_RETURN(ExpressionPtr part, Not());
  --depth_;
  return Make(Kind::kNot, "", std::move(part));
}

std::string ExpressionParser::TakeComparison() {
  for (const std::string_view text : {"==", "!=", "<=", ">=", "<", ">"}) {
    if (TakeOperator(text)) return std::string(text);
  }
  if (TakeName("in")) return "in";
  if (IsName("not") && tokens_[at_ + 1].kind == Token::Kind::kName &&
      tokens_[at_ + 1].text == "in") {
    Take();
    Take();
    return "not in";
  }
  return "";
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Compare() {
  ASSIGN_OR_RETURN(ExpressionPtr left, Binary(0));
  const std::string comparison = TakeComparison();
  if (comparison.empty()) return left;
  ASSIGN_OR_RETURN(ExpressionPtr right, Binary(0));
  if (!TakeComparison().empty()) {
    return Refuse(StrCat("line ", line(), ": a chain of comparisons"));
  }
  return Make(Kind::kCompare, comparison, std::move(left), std::move(right));
}

// Jinja's ranks: + and - bind least, then ~, then * / // %.
std::string ExpressionParser::TakeBinary(int rank) {
  constexpr std::array<std::string_view, 4> kRanks[] = {{"+", "-"}, {"~"}, {"*", "/", "//", "%"}};
  for (const std::string_view text : kRanks[rank]) {
    if (!text.empty() && TakeOperator(text)) return std::string(text);
  }
  return "";
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Binary(int rank) {
  if (rank == 3) return Unary(true);
  ASSIGN_OR_RETURN(ExpressionPtr left, Binary(rank + 1));
  for (std::string text; !(text = TakeBinary(rank)).empty();) {
    ASSIGN_OR_RETURN(ExpressionPtr right, Binary(rank + 1));
    ASSIGN_OR_RETURN(left, Make(Kind::kBinary, text, std::move(left), std::move(right)));
  }
  if (IsOperator("**")) return Refuse(StrCat("line ", line(), ": the operator **"));
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Unary(bool with_filters) {
  if (IsOperator("+") || IsOperator("-")) {
    const bool minus = Take().text == "-";
    if (++depth_ > kMaxSyntaxDepth) return TooDeep();
    ASSIGN_OR_RETURN(ExpressionPtr part, Unary(false));
    --depth_;
    if (!minus) return Refuse(StrCat("line ", line(), ": the operator + with one operand"));
    ASSIGN_OR_RETURN(part, Make(Kind::kMinus, "", std::move(part)));
    return with_filters ? Filters(std::move(part)) : std::move(part);
  }
  ASSIGN_OR_RETURN(ExpressionPtr part, Primary());
  ASSIGN_OR_RETURN(part, Postfix(std::move(part)));
  return with_filters ? Filters(std::move(part)) : std::move(part);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Primary() {
  const Token token = Peek();
  switch (token.kind) {
    case Token::Kind::kName:
      Take();
      if (token.text == "true" || token.text == "True") return Constant(Value(true));
      if (token.text == "false" || token.text == "False") return Constant(Value(false));
      if (token.text == "none" || token.text == "None") return Constant(Value(None{}));
      return Make(Kind::kName, token.text);
    case Token::Kind::kString: {
      std::string text;
      while (Peek().kind == Token::Kind::kString) text += Take().text;  // neighbours are joined
      return Constant(Value(std::move(text)));
    }
    case Token::Kind::kInteger: {
      int64_t value = 0;
      const char* end = token.text.data() + token.text.size();
      if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
        return Wrong("a whole number of less than 64 bits");
      }
      Take();
      return Constant(Value(value));
    }
    case Token::Kind::kFloat: {
      double value = 0;
      if (std::from_chars(token.text.data(), token.text.data() + token.text.size(), value).ec !=
          std::errc()) {
        return Wrong("a number");
      }
      Take();
      return Constant(Value(value));
    }
    case Token::Kind::kOperator:
      if (token.text == "(") return Parenthesis();
      if (token.text == "[") return ListOf("[", "]", {});
      if (token.text == "{") return DictOf();
      break;
    case Token::Kind::kEnd:
      break;
  }
  return Wrong("an expression");
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Parenthesis() {
  Take();
  Parts parts;
  if (TakeOperator(")")) return Make(Kind::kList, "");
  ASSIGN_OR_RETURN(ExpressionPtr first, Parse());
  if (TakeOperator(")")) return first;
  if (!TakeOperator(",")) return Wrong("\")\"");
  parts.push_back(std::move(first));
  return Items(")", std::move(parts));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ListOf(std::string_view open,
                                                       std::string_view close, Parts parts) {
  RETURN_IF_ERROR(Expect(open));
  return Items(close, std::move(parts));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Items(std::string_view close, Parts parts) {
  while (!TakeOperator(close)) {
    ASSIGN_OR_RETURN(ExpressionPtr part, Parse());
    parts.push_back(std::move(part));
    if (!IsOperator(close)) {
      RETURN_IF_ERROR(Expect(","));
    }
  }
  ASSIGN_OR_RETURN(ExpressionPtr list, Make(Kind::kList, ""));
  list->parts = std::move(parts);
  return Checked(std::move(list));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::DictOf() {
  Take();
  ASSIGN_OR_RETURN(ExpressionPtr dict, Make(Kind::kDict, ""));
  while (!TakeOperator("}")) {
    ASSIGN_OR_RETURN(ExpressionPtr name, Parse());
    RETURN_IF_ERROR(Expect(":"));
    ASSIGN_OR_RETURN(ExpressionPtr value, Parse());
    dict->parts.push_back(std::move(name));
    dict->parts.push_back(std::move(value));
    if (!IsOperator("}")) {
      RETURN_IF_ERROR(Expect(","));
    }
  }
  return Checked(std::move(dict));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Postfix(ExpressionPtr node) {
  while (true) {
    if (TakeOperator(".")) {
      ASSIGN_OR_RETURN(const std::string name, Name("a name behind \".\""));
      ASSIGN_OR_RETURN(node, Make(Kind::kAttribute, name, std::move(node)));
    } else if (IsOperator("[")) {
      ASSIGN_OR_RETURN(node, Subscript(std::move(node)));
    } else if (IsOperator("(")) {
      ASSIGN_OR_RETURN(node, Call(std::move(node)));
    } else {
      return node;
    }
  }
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Subscript(ExpressionPtr node) {
  Take();
  ExpressionPtr bounds[3];
  size_t colons = 0;
  while (!TakeOperator("]")) {
    if (TakeOperator(":")) {
      if (++colons == 3) return Wrong("\"]\"");
      continue;
    }
    if (bounds[colons] != nullptr) return Wrong("\"]\"");
    ASSIGN_OR_RETURN(bounds[colons], Parse());
  }
  if (colons > 0) {
    return Make(Kind::kSlice, "", std::move(node), std::move(bounds[0]), std::move(bounds[1]),
                std::move(bounds[2]));
  }
  if (bounds[0] == nullptr) return Wrong("an index");
  return Make(Kind::kItem, "", std::move(node), std::move(bounds[0]));
}

absl::StatusOr<Arguments> ExpressionParser::ParseArguments() {
  RETURN_IF_ERROR(Expect("("));
  Arguments arguments;
  while (!TakeOperator(")")) {
    if (IsOperator("*") || IsOperator("**")) {
      return Refuse(StrCat("line ", line(), ": unpacked arguments (", Peek().text, ")"));
    }
    std::string name;
    if (Peek().kind == Token::Kind::kName && tokens_[at_ + 1].kind == Token::Kind::kOperator &&
        tokens_[at_ + 1].text == "=") {
      name = Take().text;
      Take();
    } else if (!arguments.empty() && !arguments.back().first.empty()) {
      return Wrong("a named argument");
    }
    ASSIGN_OR_RETURN(ExpressionPtr value, Parse());
    arguments.emplace_back(std::move(name), std::move(value));
    if (!IsOperator(")")) {
      RETURN_IF_ERROR(Expect(","));
    }
  }
  return arguments;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Call(ExpressionPtr node) {
  ASSIGN_OR_RETURN(Arguments arguments, ParseArguments());
  ASSIGN_OR_RETURN(ExpressionPtr call, Make(Kind::kCall, "", std::move(node)));
  call->arguments = std::move(arguments);
  return Checked(std::move(call));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Filters(ExpressionPtr node) {
  while (true) {
    if (TakeOperator("|")) {
      ASSIGN_OR_RETURN(const std::string name, Name("a filter's name"));
      ASSIGN_OR_RETURN(node, Make(Kind::kFilter, name, std::move(node)));
      if (IsOperator("(")) {
        ASSIGN_OR_RETURN(node->arguments, ParseArguments());
      }
      ASSIGN_OR_RETURN(node, Checked(std::move(node)));
    } else if (TakeName("is")) {
      ASSIGN_OR_RETURN(node, Test(std::move(node)));
    } else if (IsOperator("(")) {
      ASSIGN_OR_RETURN(node, Call(std::move(node)));
    } else {
      return node;
    }
  }
}

bool ExpressionParser::StartsArgument() const {
  if (Peek().kind == Token::Kind::kOperator) return IsOperator("[") || IsOperator("{");
  if (Peek().kind != Token::Kind::kName) return !AtEnd();
  for (const std::string_view word : {"else", "or", "and"}) {
    if (IsName(word)) return false;
  }
  return true;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Test(ExpressionPtr node) {
  const bool negated = TakeName("not");
  ASSIGN_OR_RETURN(const std::string name, Name("a test's name"));
  ASSIGN_OR_RETURN(ExpressionPtr test, Make(Kind::kTest, name, std::move(node)));
  if (IsOperator("(")) {
    ASSIGN_OR_RETURN(test->arguments, ParseArguments());
  } else if (StartsArgument()) {
    // Jinja takes any other word for an argument, so that "x is defined if y" is an error.
    if (IsName("is")) return Wrong("one test");
    ASSIGN_OR_RETURN(ExpressionPtr argument, Primary());
    ASSIGN_OR_RETURN(argument, Postfix(std::move(argument)));
    test->arguments.emplace_back("", std::move(argument));
  }
  ASSIGN_OR_RETURN(test, Checked(std::move(test)));
  if (!negated) return test;
  return Make(Kind::kNot, "", std::move(test));
}

}  // namespace quantized::jinja
