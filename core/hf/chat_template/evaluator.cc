#include "core/hf/chat_template/evaluator.h"

#include <algorithm>
#include <iterator>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/chat_template/call.h"
#include "core/hf/chat_template/filters.h"
#include "core/hf/chat_template/globals.h"
#include "core/hf/chat_template/items.h"
#include "core/hf/chat_template/methods.h"
#include "core/hf/chat_template/operators.h"
#include "core/hf/chat_template/predicates.h"
#include "core/tensor/text.h"

namespace quantized::jinja {
namespace {

using EKind = Expression::Kind;
using SKind = Statement::Kind;

constexpr size_t kMaxOutputBytes = size_t{64} << 20;
constexpr size_t kMaxMacroDepth = 10;
constexpr size_t kNodeWork = 32;
// Variables of the caller, and those that the template sets outside loops and macros; a macro sees
// these and its own.
constexpr size_t kOuterFrames = 2;

class Evaluator {
 public:
  explicit Evaluator(std::vector<std::pair<std::string, Value>> variables) {
    frames_.push_back(std::move(variables));
    frames_.emplace_back();
  }

  absl::StatusOr<std::string> Run(const Block& block) {
    RETURN_IF_ERROR(Execute(block).status());
    return std::move(output_);
  }

 private:
  using Frame = std::vector<std::pair<std::string, Value>>;
  enum class Flow { kGo, kBreak, kContinue };

  void Set(const std::string& name, Value value) {
    for (auto& [key, old] : frames_.back()) {
      if (key == name) {
        old = std::move(value);
        return;
      }
    }
    frames_.back().emplace_back(name, std::move(value));
  }

  absl::Status Append(std::string_view text) {
    if (output_.size() + text.size() > kMaxOutputBytes) {
      return Refuse(StrCat("a text of more than ", kMaxOutputBytes, " bytes"));
    }
    RETURN_IF_ERROR(work_.Charge(text.size()));
    output_ += text;
    return absl::OkStatus();
  }

  // --- statements ---

  absl::StatusOr<Flow> Execute(const Block& block) {
    for (const Statement& statement : block) {
      RETURN_IF_ERROR(work_.Charge(kNodeWork));
      ASSIGN_OR_RETURN(const Flow flow, Execute(statement));
      if (flow != Flow::kGo) return flow;
    }
    return Flow::kGo;
  }

  absl::StatusOr<Flow> Execute(const Statement& statement) {
    switch (statement.kind) {
      case SKind::kText:
        RETURN_IF_ERROR(Append(statement.text));
        break;
      case SKind::kOutput: {
        ASSIGN_OR_RETURN(const Value value, Eval(statement.expression));
        ASSIGN_OR_RETURN(const std::string text, Print(value), << "line " << statement.line);
        RETURN_IF_ERROR(Append(text));
        break;
      }
      case SKind::kFor:
        RETURN_IF_ERROR(ExecuteFor(statement));
        break;
      case SKind::kIf:
        return ExecuteIf(statement);
      case SKind::kSet:
        RETURN_IF_ERROR(ExecuteSet(statement)) << "line " << statement.line;
        break;
      case SKind::kSetBlock: {
        ASSIGN_OR_RETURN(std::string text, Captured(statement.bodies[0]));
        Set(statement.targets[0], Value(std::move(text)));
        break;
      }
      case SKind::kMacro: {
        auto function = std::make_shared<Function>();
        function->name = statement.macro->name;
        function->macro = statement.macro.get();
        Set(statement.macro->name, Value(std::shared_ptr<const Function>(std::move(function))));
        break;
      }
      case SKind::kBlock:
        return Execute(statement.bodies[0]);
      case SKind::kBreak:
        return Flow::kBreak;
      case SKind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kGo;
  }

  // What a body writes, kept from the output.
  absl::StatusOr<std::string> Captured(const Block& body) {
    std::string outer = std::exchange(output_, std::string());
    const auto flow = Execute(body);
    std::string text = std::exchange(output_, std::move(outer));
    if (!flow.ok()) return flow.status();
    if (*flow != Flow::kGo) return Refuse("break or continue inside a block that is kept");
    return text;
  }

  absl::StatusOr<Flow> ExecuteIf(const Statement& statement) {
    for (size_t i = 0; i < statement.conditions.size(); ++i) {
      ASSIGN_OR_RETURN(const Value condition, Eval(statement.conditions[i]));
      if (Truth(condition)) return Execute(statement.bodies[i]);
    }
    if (statement.bodies.size() > statement.conditions.size()) {
      return Execute(statement.bodies.back());
    }
    return Flow::kGo;
  }

  absl::Status Bind(const std::vector<std::string>& targets, const Value& value) {
    if (targets.size() == 1) {
      Set(targets[0], value);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::vector<Value> items, ItemsOf(value, work_));
    if (items.size() != targets.size()) {
      return Refuse(StrCat(items.size(), " values for ", targets.size(), " variables"));
    }
    for (size_t i = 0; i < items.size(); ++i) Set(targets[i], items[i]);
    return absl::OkStatus();
  }

  absl::Status ExecuteSet(const Statement& statement) {
    ASSIGN_OR_RETURN(Value value, Eval(statement.expression));
    if (statement.attribute.empty()) return Bind(statement.targets, value);
    const Value target = Lookup(statement.targets[0]);
    Dict* space = target.MutableNamespace();
    if (space == nullptr) {
      return Refuse(StrCat("an attribute of \"", PrintableName(statement.targets[0]),
                           "\" is set, which is ", KindOf(target), ", expected namespace"));
    }
    if (value.AsDict() != nullptr && (value.AsDict()->is_namespace || value.AsDict()->is_loop)) {
      return Refuse(StrCat("a ", KindOf(value), " inside a namespace"));
    }
    for (auto& [name, old] : space->members) {
      if (name == statement.attribute) {
        old = std::move(value);
        return absl::OkStatus();
      }
    }
    space->members.emplace_back(statement.attribute, std::move(value));
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Value>> LoopItems(const Statement& statement) {
    ASSIGN_OR_RETURN(const Value source, Eval(statement.expression));
    ASSIGN_OR_RETURN(std::vector<Value> items, ItemsOf(source, work_),
                     << "line " << statement.line);
    if (statement.condition == nullptr) return items;
    std::vector<Value> kept;
    for (Value& item : items) {
      frames_.emplace_back();
      RETURN_IF_ERROR(Bind(statement.targets, item));
      ASSIGN_OR_RETURN(const Value condition, Eval(statement.condition));
      frames_.pop_back();
      if (Truth(condition)) kept.push_back(std::move(item));
    }
    return kept;
  }

  // What `loop` says in turn `i`. It is one object for all turns, as in Jinja, and cheap to turn
  // on.
  static void SetLoop(const std::vector<Value>& items, size_t i, Dict& loop) {
    const auto at = [](size_t n) { return Value(static_cast<int64_t>(n)); };
    const bool last = i + 1 == items.size();
    if (loop.members.empty()) {
      loop.is_loop = true;
      for (const char* name : {"index", "index0", "revindex", "revindex0", "first", "last",
                               "length", "previtem", "nextitem"}) {
        loop.members.emplace_back(name, Value());
      }
    }
    Value values[] = {at(i + 1),
                      at(i),
                      at(items.size() - i),
                      at(items.size() - i - 1),
                      Value(i == 0),
                      Value(last),
                      at(items.size()),
                      i == 0 ? Value(Undefined{"previtem"}) : items[i - 1],
                      last ? Value(Undefined{"nextitem"}) : items[i + 1]};
    for (size_t n = 0; n < std::size(values); ++n) loop.members[n].second = std::move(values[n]);
  }

  absl::Status ExecuteFor(const Statement& statement) {
    ASSIGN_OR_RETURN(const std::vector<Value> items, LoopItems(statement));
    if (items.empty()) {
      frames_.emplace_back();
      const auto flow = Execute(statement.bodies[1]);
      frames_.pop_back();
      return flow.status();
    }
    const auto loop = std::make_shared<Dict>();
    for (size_t i = 0; i < items.size(); ++i) {
      frames_.emplace_back();  // what is set in a turn is forgotten in the next
      RETURN_IF_ERROR(work_.Charge(16 * kNodeWork));
      if (i > 0) {
        RETURN_IF_ERROR(work_.Charge(StringBytes(items[i - 1])));
      }
      if (i + 1 < items.size()) {
        RETURN_IF_ERROR(work_.Charge(StringBytes(items[i + 1])));
      }
      SetLoop(items, i, *loop);
      Set("loop", Value(loop));
      RETURN_IF_ERROR(Bind(statement.targets, items[i])) << "line " << statement.line;
      ASSIGN_OR_RETURN(const Flow flow, Execute(statement.bodies[0]));
      frames_.pop_back();
      if (flow == Flow::kBreak) break;
    }
    return absl::OkStatus();
  }

  // --- expressions ---

  static size_t StringBytes(const Value& value) {
    const auto* text = value.As<std::string>();
    return text == nullptr ? 0 : text->size();
  }

  Value Lookup(std::string_view name) const {
    for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
      for (const auto& [key, value] : *frame) {
        if (key == name) return value;
      }
    }
    if (!IsGlobal(name)) return Value(Undefined{std::string(name)});
    auto function = std::make_shared<Function>();
    function->name = name;
    return Value(std::shared_ptr<const Function>(std::move(function)));
  }

  absl::StatusOr<Value> Eval(const ExpressionPtr& node) {
    RETURN_IF_ERROR(work_.Charge(kNodeWork));
    ASSIGN_OR_RETURN(Value value, EvalNode(*node));
    RETURN_IF_ERROR(work_.Charge(StringBytes(value))) << "line " << node->line;
    return value;
  }

  absl::StatusOr<Value> EvalOrNone(const ExpressionPtr& node) {
    return node == nullptr ? Value(None{}) : Eval(node);
  }

  absl::StatusOr<CallArguments> EvalArguments(const Arguments& arguments) {
    CallArguments values;
    for (const auto& [name, argument] : arguments) {
      ASSIGN_OR_RETURN(Value value, Eval(argument));
      if (name.empty()) {
        values.positional.push_back(std::move(value));
      } else {
        values.named.emplace_back(name, std::move(value));
      }
    }
    return values;
  }

  absl::StatusOr<Value> EvalNode(const Expression& node) {
    switch (node.kind) {
      case EKind::kConstant:
        return node.value;
      case EKind::kName:
        return Lookup(node.text);
      case EKind::kAnd:
      case EKind::kOr: {
        ASSIGN_OR_RETURN(Value left, Eval(node.parts[0]));
        if (Truth(left) == (node.kind == EKind::kOr)) return left;
        return Eval(node.parts[1]);
      }
      case EKind::kChoice: {
        ASSIGN_OR_RETURN(const Value condition, Eval(node.parts[1]));
        if (Truth(condition)) return Eval(node.parts[0]);
        return node.parts[2] == nullptr ? Value(Undefined{"the missing else"})
                                        : Eval(node.parts[2]);
      }
      default:
        break;
    }
    absl::StatusOr<Value> value = EvalOperation(node);
    // The innermost place is the one to tell.
    if (!value.ok() && value.status().message().substr(0, 5) != "line ") {
      RETURN_IF_ERROR(value.status()) << "line " << node.line;
    }
    return value;
  }

  absl::StatusOr<Value> EvalOperation(const Expression& node) {
    if (node.kind == EKind::kList) return EvalList(node);
    if (node.kind == EKind::kDict) return EvalDict(node);
    if (node.kind == EKind::kCall) return EvalCall(node);
    ASSIGN_OR_RETURN(const Value first, Eval(node.parts[0]));
    switch (node.kind) {
      case EKind::kAttribute:
        return GetAttribute(first, node.text, work_);
      case EKind::kItem: {
        ASSIGN_OR_RETURN(const Value index, Eval(node.parts[1]));
        return GetItem(first, index, work_);
      }
      case EKind::kSlice: {
        ASSIGN_OR_RETURN(const Value begin, EvalOrNone(node.parts[1]));
        ASSIGN_OR_RETURN(const Value end, EvalOrNone(node.parts[2]));
        ASSIGN_OR_RETURN(const Value step, EvalOrNone(node.parts[3]));
        const List* list = first.AsList();
        RETURN_IF_ERROR(work_.Charge(list ? 32 * list->items.size() : StringBytes(first)));
        return GetSlice(first, begin, end, step);
      }
      case EKind::kFilter: {
        ASSIGN_OR_RETURN(const CallArguments arguments, EvalArguments(node.arguments));
        return ApplyFilter(node.text, first, arguments, work_);
      }
      case EKind::kTest: {
        ASSIGN_OR_RETURN(const CallArguments arguments, EvalArguments(node.arguments));
        ASSIGN_OR_RETURN(const bool holds, ApplyTest(node.text, first, arguments, work_));
        return Value(holds);
      }
      case EKind::kNot:
        return Value(!Truth(first));
      case EKind::kMinus:
        return Arithmetic("-", Value(int64_t{0}), first, work_);
      default:
        break;
    }
    ASSIGN_OR_RETURN(const Value second, Eval(node.parts[1]));
    if (node.kind == EKind::kBinary) return Arithmetic(node.text, first, second, work_);
    return Compare(node.text, first, second);
  }

  absl::StatusOr<Value> Compare(std::string_view op, const Value& a, const Value& b) {
    if (op == "==" || op == "!=") {
      RETURN_IF_ERROR(work_.Charge(std::min(a.weight(), b.weight())));
      return Value(Equal(a, b) == (op == "=="));
    }
    if (op.ends_with("in")) {
      ASSIGN_OR_RETURN(const bool contains, Contains(b, a, work_));
      return Value(contains == (op == "in"));
    }
    ASSIGN_OR_RETURN(const bool holds, Ordered(op, a, b));
    return Value(holds);
  }

  absl::StatusOr<Value> EvalList(const Expression& node) {
    std::vector<Value> items;
    for (const ExpressionPtr& part : node.parts) {
      ASSIGN_OR_RETURN(Value item, Eval(part));
      items.push_back(std::move(item));
    }
    return MakeList(std::move(items));
  }

  absl::StatusOr<Value> EvalDict(const Expression& node) {
    std::vector<std::pair<std::string, Value>> members;
    for (size_t i = 0; i < node.parts.size(); i += 2) {
      ASSIGN_OR_RETURN(const Value name, Eval(node.parts[i]));
      const auto* text = name.As<std::string>();
      if (text == nullptr) return Refuse(StrCat("a dict with a key that is a ", KindOf(name)));
      ASSIGN_OR_RETURN(Value value, Eval(node.parts[i + 1]));
      RETURN_IF_ERROR(work_.Charge(members.size()));
      const auto same = std::find_if(members.begin(), members.end(),
                                     [&](const auto& member) { return member.first == *text; });
      if (same != members.end()) {
        same->second = std::move(value);
      } else {
        members.emplace_back(*text, std::move(value));
      }
    }
    return MakeDict(std::move(members));
  }

  absl::StatusOr<Value> EvalCall(const Expression& node) {
    ASSIGN_OR_RETURN(const Value callee, Eval(node.parts[0]));
    const Function* function = callee.AsFunction();
    if (function == nullptr) {
      const auto* undefined = callee.As<Undefined>();
      return Refuse(undefined == nullptr ? StrCat("a call of a ", KindOf(callee))
                                         : StrCat("the function \"", PrintableName(undefined->name),
                                                  "\" is not known here"));
    }
    ASSIGN_OR_RETURN(CallArguments arguments, EvalArguments(node.arguments));
    if (function->macro != nullptr) return CallMacro(*function->macro, std::move(arguments));
    if (function->self != nullptr) {
      return CallMethod(*function->self, function->name, arguments, work_);
    }
    return CallGlobal(function->name, arguments, work_);
  }

  absl::StatusOr<Value> CallMacro(const MacroNode& macro, CallArguments arguments) {
    if (macro_depth_ == kMaxMacroDepth) {
      return Refuse(StrCat("macros that call each other more than ", kMaxMacroDepth, " deep"));
    }
    if (arguments.positional.size() > macro.parameters.size()) {
      return Refuse(StrCat("macro ", PrintableName(macro.name), " with ",
                           arguments.positional.size(), " arguments, expected at most ",
                           macro.parameters.size()));
    }
    std::vector<Frame> hidden(std::make_move_iterator(frames_.begin() + kOuterFrames),
                              std::make_move_iterator(frames_.end()));
    frames_.resize(kOuterFrames);
    frames_.emplace_back();
    ++macro_depth_;
    absl::Status bound = BindParameters(macro, std::move(arguments));
    absl::StatusOr<std::string> text = bound.ok() ? Captured(macro.body) : bound;
    --macro_depth_;
    frames_.resize(kOuterFrames);
    frames_.insert(frames_.end(), std::make_move_iterator(hidden.begin()),
                   std::make_move_iterator(hidden.end()));
    if (!text.ok()) return text.status();
    return Value(*std::move(text));
  }

  absl::Status BindParameters(const MacroNode& macro, CallArguments arguments) {
    size_t used = 0;
    for (size_t i = 0; i < macro.parameters.size(); ++i) {
      // Not bound by name: clang 14 refuses to capture that.
      const std::string& name = macro.parameters[i].first;
      const ExpressionPtr& fallback = macro.parameters[i].second;
      Value value = Value(Undefined{name});
      const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                      [&](const auto& a) { return a.first == name; });
      if (i < arguments.positional.size()) {
        value = std::move(arguments.positional[i]);
      } else if (named != arguments.named.end()) {
        value = std::move(named->second);
        ++used;
      } else if (fallback != nullptr) {
        ASSIGN_OR_RETURN(value, Eval(fallback));
      }
      Set(name, std::move(value));
    }
    if (used == arguments.named.size()) return absl::OkStatus();
    return Refuse(StrCat("macro ", PrintableName(macro.name), " with an argument it has not"));
  }

  Work work_;
  std::vector<Frame> frames_;
  std::string output_;
  size_t macro_depth_ = 0;
};

}  // namespace

absl::StatusOr<std::string> Evaluate(const Block& block,
                                     std::vector<std::pair<std::string, Value>> variables) {
  return Evaluator(std::move(variables)).Run(block);
}

}  // namespace quantized::jinja
