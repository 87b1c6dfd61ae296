#include "core/hf/chat_template/parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <span>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/chat_template/lexer.h"
#include "core/tensor/text.h"

namespace quantized::jinja {
namespace {

using Kind = Expression::Kind;

// Of brackets, of operators behind each other, of tags in tags. Real templates stay below 25.
constexpr size_t kMaxDepth = 100;
constexpr size_t kMaxSegments = 100'000;

// Parses the expressions of one tag.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::span<const Token> tokens) : tokens_(tokens) {}

  const Token& Peek() const { return tokens_[at_]; }
  uint32_t line() const { return Peek().line; }
  Token Take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool AtEnd() const { return Peek().kind == Token::Kind::kEnd; }

  bool IsOperator(std::string_view text) const {
    return Peek().kind == Token::Kind::kOperator && Peek().text == text;
  }
  bool IsName(std::string_view text) const {
    return Peek().kind == Token::Kind::kName && Peek().text == text;
  }
  bool TakeOperator(std::string_view text) { return IsOperator(text) && (Take(), true); }
  bool TakeName(std::string_view text) { return IsName(text) && (Take(), true); }

  absl::Status Wrong(std::string_view expected) const {
    const std::string found =
        AtEnd() ? "the tag's end" : StrCat("\"", PrintableName(Peek().text), "\"");
    return Refuse(StrCat("line ", line(), ": expected ", expected, ", found ", found));
  }
  absl::Status Expect(std::string_view text) {
    return TakeOperator(text) ? absl::OkStatus() : Wrong(StrCat("\"", text, "\""));
  }
  absl::Status ExpectEnd() const { return AtEnd() ? absl::OkStatus() : Wrong("the tag's end"); }

  absl::StatusOr<std::string> Name(std::string_view what) {
    if (Peek().kind != Token::Kind::kName) return Wrong(what);
    return Take().text;
  }

  absl::StatusOr<ExpressionPtr> Parse() {
    if (++depth_ > kMaxDepth) return TooDeep();
    auto result = Choice();
    --depth_;
    return result;
  }
  // One expression, or several with commas between, which make a list.
  absl::StatusOr<ExpressionPtr> ParseTuple() {
    ASSIGN_OR_RETURN(ExpressionPtr first, Parse());
    if (!IsOperator(",")) return first;
    ASSIGN_OR_RETURN(ExpressionPtr list, Make(Kind::kList, "", std::move(first)));
    while (TakeOperator(",") && !AtEnd()) {
      ASSIGN_OR_RETURN(ExpressionPtr part, Parse());
      list->parts.push_back(std::move(part));
    }
    return Checked(std::move(list));
  }
  // Without a trailing "if", which belongs to the tag.
  absl::StatusOr<ExpressionPtr> ParseWithoutChoice() { return Or(); }

 private:
  using Parts = std::vector<ExpressionPtr>;

  absl::Status TooDeep() const {
    return Refuse(StrCat("line ", line(), ": an expression nested deeper than ", kMaxDepth));
  }

  template <typename... T>
  absl::StatusOr<ExpressionPtr> Make(Kind kind, std::string text, T... parts) {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->text = std::move(text);
    node->line = line();
    (node->parts.push_back(std::move(parts)), ...);
    return Checked(std::move(node));
  }

  absl::StatusOr<ExpressionPtr> Checked(ExpressionPtr node) const {
    const auto grow = [&](const ExpressionPtr& part) {
      if (part != nullptr) node->depth = std::max(node->depth, part->depth + 1);
    };
    for (const ExpressionPtr& part : node->parts) grow(part);
    for (const auto& [name, argument] : node->arguments) grow(argument);
    if (node->depth > kMaxDepth) return TooDeep();
    return node;
  }

  absl::StatusOr<ExpressionPtr> Constant(Value value) {
    auto node = std::make_unique<Expression>();
    node->value = std::move(value);
    node->line = line();
    return node;
  }

  absl::StatusOr<ExpressionPtr> Choice() {
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

  absl::StatusOr<ExpressionPtr> Or() {
    ASSIGN_OR_RETURN(ExpressionPtr left, And());
    while (TakeName("or")) {
      ASSIGN_OR_RETURN(ExpressionPtr right, And());
      ASSIGN_OR_RETURN(left, Make(Kind::kOr, "", std::move(left), std::move(right)));
    }
    return left;
  }

  absl::StatusOr<ExpressionPtr> And() {
    ASSIGN_OR_RETURN(ExpressionPtr left, Not());
    while (TakeName("and")) {
      ASSIGN_OR_RETURN(ExpressionPtr right, Not());
      ASSIGN_OR_RETURN(left, Make(Kind::kAnd, "", std::move(left), std::move(right)));
    }
    return left;
  }

  absl::StatusOr<ExpressionPtr> Not() {
    if (!TakeName("not")) return Compare();
    if (++depth_ > kMaxDepth) return TooDeep();
    ASSIGN_OR_RETURN(ExpressionPtr part, Not());
    --depth_;
    return Make(Kind::kNot, "", std::move(part));
  }

  std::string TakeComparison() {
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

  absl::StatusOr<ExpressionPtr> Compare() {
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
  std::string TakeBinary(int rank) {
    constexpr std::array<std::string_view, 4> kRanks[] = {{"+", "-"}, {"~"}, {"*", "/", "//", "%"}};
    for (const std::string_view text : kRanks[rank]) {
      if (!text.empty() && TakeOperator(text)) return std::string(text);
    }
    return "";
  }

  absl::StatusOr<ExpressionPtr> Binary(int rank) {
    if (rank == 3) return Unary(true);
    ASSIGN_OR_RETURN(ExpressionPtr left, Binary(rank + 1));
    for (std::string text; !(text = TakeBinary(rank)).empty();) {
      ASSIGN_OR_RETURN(ExpressionPtr right, Binary(rank + 1));
      ASSIGN_OR_RETURN(left, Make(Kind::kBinary, text, std::move(left), std::move(right)));
    }
    if (IsOperator("**")) return Refuse(StrCat("line ", line(), ": the operator **"));
    return left;
  }

  absl::StatusOr<ExpressionPtr> Unary(bool with_filters) {
    if (IsOperator("+") || IsOperator("-")) {
      const bool minus = Take().text == "-";
      if (++depth_ > kMaxDepth) return TooDeep();
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

  absl::StatusOr<ExpressionPtr> Primary() {
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

  // (x), or a tuple, which nothing here can tell from a list.
  absl::StatusOr<ExpressionPtr> Parenthesis() {
    Take();
    Parts parts;
    if (TakeOperator(")")) return Make(Kind::kList, "");
    ASSIGN_OR_RETURN(ExpressionPtr first, Parse());
    if (TakeOperator(")")) return first;
    if (!TakeOperator(",")) return Wrong("\")\"");
    parts.push_back(std::move(first));
    return Items(")", std::move(parts));
  }

  absl::StatusOr<ExpressionPtr> ListOf(std::string_view open, std::string_view close, Parts parts) {
    RETURN_IF_ERROR(Expect(open));
    return Items(close, std::move(parts));
  }

  absl::StatusOr<ExpressionPtr> Items(std::string_view close, Parts parts) {
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

  absl::StatusOr<ExpressionPtr> DictOf() {
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

  absl::StatusOr<ExpressionPtr> Postfix(ExpressionPtr node) {
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

  absl::StatusOr<ExpressionPtr> Subscript(ExpressionPtr node) {
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

  absl::StatusOr<Arguments> ParseArguments() {
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

  absl::StatusOr<ExpressionPtr> Call(ExpressionPtr node) {
    ASSIGN_OR_RETURN(Arguments arguments, ParseArguments());
    ASSIGN_OR_RETURN(ExpressionPtr call, Make(Kind::kCall, "", std::move(node)));
    call->arguments = std::move(arguments);
    return Checked(std::move(call));
  }

  absl::StatusOr<ExpressionPtr> Filters(ExpressionPtr node) {
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

  bool StartsArgument() const {
    if (Peek().kind == Token::Kind::kOperator) return IsOperator("[") || IsOperator("{");
    if (Peek().kind != Token::Kind::kName) return !AtEnd();
    for (const std::string_view word : {"else", "or", "and"}) {
      if (IsName(word)) return false;
    }
    return true;
  }

  absl::StatusOr<ExpressionPtr> Test(ExpressionPtr node) {
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

  std::span<const Token> tokens_;
  size_t at_ = 0;
  size_t depth_ = 0;
};

class TemplateParser {
 public:
  explicit TemplateParser(std::vector<Segment> segments) : segments_(std::move(segments)) {}

  absl::StatusOr<Block> Run() {
    ASSIGN_OR_RETURN(Block block, ParseBlock({}));
    return block;
  }

 private:
  // The name of the tag at at_; empty when it is none.
  std::string_view TagName() const {
    const Segment& segment = segments_[at_];
    return segment.kind == Segment::Kind::kTag ? std::string_view(segment.tokens[0].text) : "";
  }
  static absl::Status At(uint32_t line, std::string_view what) {
    return Refuse(StrCat("line ", line, ": ", what));
  }

  // Up to a tag named in `ends`, which at_ then points to; without names, to the end.
  absl::StatusOr<Block> ParseBlock(std::initializer_list<std::string_view> ends) {
    if (++depth_ > kMaxDepth) {
      return Refuse(StrCat("tags nested deeper than ", kMaxDepth, " levels"));
    }
    Block block;
    for (; at_ < segments_.size();) {
      const Segment& segment = segments_[at_];
      if (std::find(ends.begin(), ends.end(), TagName()) != ends.end() && ends.size() > 0) {
        --depth_;
        return block;
      }
      Statement statement;
      statement.line = segment.line;
      if (segment.kind == Segment::Kind::kText) {
        statement.text = segment.text;
        ++at_;
      } else if (segment.kind == Segment::Kind::kOutput) {
        statement.kind = Statement::Kind::kOutput;
        ExpressionParser parser(segment.tokens);
        ASSIGN_OR_RETURN(statement.expression, parser.Parse());
        RETURN_IF_ERROR(parser.ExpectEnd());
        ++at_;
      } else {
        RETURN_IF_ERROR(ParseTag(statement));
      }
      block.push_back(std::move(statement));
    }
    if (ends.size() > 0) return Refuse(StrCat("the template ends before ", *(ends.end() - 1)));
    --depth_;
    return block;
  }

  absl::Status ParseTag(Statement& statement) {
    ExpressionParser parser(segments_[at_].tokens);
    const std::string name = parser.Take().text;
    if (name == "for") return ParseFor(parser, statement);
    if (name == "if") return ParseIf(parser, statement);
    if (name == "set") return ParseSet(parser, statement);
    if (name == "macro") return ParseMacro(parser, statement);
    if (name == "generation") {
      statement.kind = Statement::Kind::kBlock;
      return ParseBody(parser, "endgeneration", statement.bodies.emplace_back());
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) return At(statement.line, StrCat(name, " outside a loop"));
      statement.kind = name == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue;
      ++at_;
      return parser.ExpectEnd();
    }
    return At(statement.line, StrCat("the tag \"", PrintableName(name), "\" is not known here"));
  }

  // The body of a tag that `parser` stands at the end of, and the end tag, which must be bare.
  absl::Status ParseBody(const ExpressionParser& parser, std::string_view end, Block& body) {
    RETURN_IF_ERROR(parser.ExpectEnd());
    ++at_;
    ASSIGN_OR_RETURN(body, ParseBlock({end}));
    return PassBareTag();
  }

  absl::Status PassBareTag() {
    ExpressionParser end(segments_[at_].tokens);
    end.Take();
    ++at_;
    return end.ExpectEnd();
  }

  static absl::Status ParseTargets(ExpressionParser& parser, Statement& statement) {
    const bool bracket = parser.TakeOperator("(");
    do {
      ASSIGN_OR_RETURN(std::string target, parser.Name("a variable's name"));
      statement.targets.push_back(std::move(target));
    } while (parser.TakeOperator(","));
    return bracket ? parser.Expect(")") : absl::OkStatus();
  }

  absl::Status ParseFor(ExpressionParser& parser, Statement& statement) {
    statement.kind = Statement::Kind::kFor;
    RETURN_IF_ERROR(ParseTargets(parser, statement));
    if (!parser.TakeName("in")) return parser.Wrong("\"in\"");
    ASSIGN_OR_RETURN(statement.expression, parser.ParseWithoutChoice());
    if (parser.IsName("recursive")) return At(statement.line, "a recursive loop");
    if (parser.TakeName("if")) {
      ASSIGN_OR_RETURN(statement.condition, parser.Parse());
    }
    RETURN_IF_ERROR(parser.ExpectEnd());
    ++at_;
    ++loops_;
    statement.bodies.resize(2);
    ASSIGN_OR_RETURN(statement.bodies[0], ParseBlock({"else", "endfor"}));
    --loops_;
    if (TagName() == "else") {
      RETURN_IF_ERROR(PassBareTag());
      ASSIGN_OR_RETURN(statement.bodies[1], ParseBlock({"endfor"}));
    }
    return PassBareTag();
  }

  absl::Status ParseIf(ExpressionParser parser, Statement& statement) {
    statement.kind = Statement::Kind::kIf;
    while (true) {
      ASSIGN_OR_RETURN(ExpressionPtr condition, parser.Parse());
      RETURN_IF_ERROR(parser.ExpectEnd());
      ++at_;
      statement.conditions.push_back(std::move(condition));
      ASSIGN_OR_RETURN(Block body, ParseBlock({"elif", "else", "endif"}));
      statement.bodies.push_back(std::move(body));
      if (TagName() != "elif") break;
      parser = ExpressionParser(segments_[at_].tokens);
      parser.Take();
    }
    if (TagName() == "else") {
      RETURN_IF_ERROR(PassBareTag());
      ASSIGN_OR_RETURN(Block body, ParseBlock({"endif"}));
      statement.bodies.push_back(std::move(body));
    }
    return PassBareTag();
  }

  absl::Status ParseSet(ExpressionParser& parser, Statement& statement) {
    RETURN_IF_ERROR(ParseTargets(parser, statement));
    if (parser.TakeOperator(".")) {
      ASSIGN_OR_RETURN(statement.attribute, parser.Name("an attribute's name"));
      if (statement.targets.size() > 1) return parser.Wrong("one target");
    }
    if (parser.AtEnd() && statement.attribute.empty() && statement.targets.size() == 1) {
      statement.kind = Statement::Kind::kSetBlock;
      return ParseBody(parser, "endset", statement.bodies.emplace_back());
    }
    statement.kind = Statement::Kind::kSet;
    RETURN_IF_ERROR(parser.Expect("="));
    ASSIGN_OR_RETURN(statement.expression, parser.ParseTuple());
    ++at_;
    return parser.ExpectEnd();
  }

  absl::Status ParseMacro(ExpressionParser& parser, Statement& statement) {
    statement.kind = Statement::Kind::kMacro;
    statement.macro = std::make_unique<MacroNode>();
    MacroNode& macro = *statement.macro;
    ASSIGN_OR_RETURN(macro.name, parser.Name("a macro's name"));
    RETURN_IF_ERROR(parser.Expect("("));
    while (!parser.TakeOperator(")")) {
      ASSIGN_OR_RETURN(std::string name, parser.Name("a parameter's name"));
      ExpressionPtr fallback;
      if (parser.TakeOperator("=")) {
        ASSIGN_OR_RETURN(fallback, parser.Parse());
      }
      macro.parameters.emplace_back(std::move(name), std::move(fallback));
      if (!parser.IsOperator(")")) {
        RETURN_IF_ERROR(parser.Expect(","));
      }
    }
    const size_t loops = std::exchange(loops_, 0);
    RETURN_IF_ERROR(ParseBody(parser, "endmacro", macro.body));
    loops_ = loops;
    return absl::OkStatus();
  }

  std::vector<Segment> segments_;
  size_t at_ = 0;
  size_t depth_ = 0;
  size_t loops_ = 0;  // around the tag at at_
};

}  // namespace

absl::StatusOr<Block> Parse(std::string_view source) {
  ASSIGN_OR_RETURN(std::vector<Segment> segments, Cut(source));
  if (segments.size() > kMaxSegments) {
    return Refuse(StrCat(segments.size(), " tags and texts, expected at most ", kMaxSegments));
  }
  return TemplateParser(std::move(segments)).Run();
}

}  // namespace quantized::jinja
