// Parses the expressions of one tag or output: Jinja's grammar, less what "What is rendered" in
// docs/design/chat-templates.md leaves out. The parser of templates reads a tag's other words with
// it, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/hf/chat_template/lexer.h"
#include "core/hf/chat_template/syntax.h"

namespace quantized::jinja {

// Stands at a token and moves on over what it takes. Errors of all: kValidationFailed, naming the
// line; the parser is of no use behind one. A copy stands where the original does.
class ExpressionParser {
 public:
  // The last of `tokens` is kEnd, and never passed. They outlive the parser.
  explicit ExpressionParser(std::span<const Token> tokens) : tokens_(tokens) {}

  const Token& Peek() const { return tokens_[at_]; }  // points into the tokens
  uint32_t line() const { return Peek().line; }
  Token Take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool AtEnd() const { return Peek().kind == Token::Kind::kEnd; }

  // Whether the next token is this one; Take… also passes it then.
  bool IsOperator(std::string_view text) const;
  bool IsName(std::string_view text) const;
  bool TakeOperator(std::string_view text) { return IsOperator(text) && (Take(), true); }
  bool TakeName(std::string_view text) { return IsName(text) && (Take(), true); }

  // Refuses the next token, where `expected` should stand.
  absl::Status Wrong(std::string_view expected) const;
  // Takes the operator, or refuses what stands there.
  absl::Status Expect(std::string_view text);
  absl::Status ExpectEnd() const;
  // Takes a name; `what` says what it is for.
  absl::StatusOr<std::string> Name(std::string_view what);

  // One expression, up to what cannot belong to it.
  absl::StatusOr<ExpressionPtr> Parse();
  // One expression, or several with commas between, which make a list.
  absl::StatusOr<ExpressionPtr> ParseTuple();
  // Without a trailing "if", which belongs to the tag.
  absl::StatusOr<ExpressionPtr> ParseWithoutChoice();

 private:
  using Parts = std::vector<ExpressionPtr>;

  absl::Status TooDeep() const;
  // A node at the present line. Checked() sets its depth, and refuses one that is too deep.
  template <typename... T>
  absl::StatusOr<ExpressionPtr> Make(Expression::Kind kind, std::string text, T... parts);
  absl::StatusOr<ExpressionPtr> Checked(ExpressionPtr node) const;
  absl::StatusOr<ExpressionPtr> Constant(Value value);

  // From what binds least to what binds most; each calls the next.
  absl::StatusOr<ExpressionPtr> Choice();  // a if b else c
  absl::StatusOr<ExpressionPtr> Or();
  absl::StatusOr<ExpressionPtr> And();
  absl::StatusOr<ExpressionPtr> Not();
  absl::StatusOr<ExpressionPtr> Compare();
  absl::StatusOr<ExpressionPtr> Binary(int rank);
  absl::StatusOr<ExpressionPtr> Unary(bool with_filters);
  absl::StatusOr<ExpressionPtr> Primary();
  // The operator that is taken; empty where none stands there.
  std::string TakeComparison();
  std::string TakeBinary(int rank);

  // What begins with a bracket.
  absl::StatusOr<ExpressionPtr> Parenthesis();  // (x), or a tuple, which is a list here
  absl::StatusOr<ExpressionPtr> ListOf(std::string_view open, std::string_view close, Parts parts);
  absl::StatusOr<ExpressionPtr> Items(std::string_view close, Parts parts);
  absl::StatusOr<ExpressionPtr> DictOf();

  // What stands behind `node`.
  absl::StatusOr<ExpressionPtr> Postfix(ExpressionPtr node);    // .name [index] (arguments)
  absl::StatusOr<ExpressionPtr> Subscript(ExpressionPtr node);  // [index], [begin:end:step]
  absl::StatusOr<Arguments> ParseArguments();
  absl::StatusOr<ExpressionPtr> Call(ExpressionPtr node);
  absl::StatusOr<ExpressionPtr> Filters(ExpressionPtr node);  // | filter, is test
  bool StartsArgument() const;                                // of a test, without brackets
  absl::StatusOr<ExpressionPtr> Test(ExpressionPtr node);

  std::span<const Token> tokens_;
  size_t at_ = 0;
  size_t depth_ = 0;
};

}  // namespace quantized::jinja
