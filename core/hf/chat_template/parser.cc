#include "core/hf/chat_template/parser.h"

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/chat_template/expression_parser.h"
#include "core/hf/chat_template/lexer.h"
#include "core/tensor/text.h"

namespace quantized::jinja {
namespace {

constexpr size_t kMaxSegments = 100'000;

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
    if (++depth_ > kMaxSyntaxDepth) {
      return Refuse(StrCat("tags nested deeper than ", kMaxSyntaxDepth, " levels"));
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
