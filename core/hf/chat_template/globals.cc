#include "core/hf/chat_template/globals.h"

#include <memory>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized::jinja {
namespace {

constexpr size_t kMaxRange = 100'000;

}  // namespace

bool IsGlobal(std::string_view name) {
  return name == "raise_exception" || name == "range" || name == "namespace" || name == "dict";
}

absl::StatusOr<Value> CallGlobal(std::string_view name, const CallArguments& arguments,
                                 Work& work) {
  if (name == "raise_exception") {
    ArgumentReader reader(name, arguments);
    ASSIGN_OR_RETURN(const std::string message, reader.Text("message"));
    RETURN_IF_ERROR(reader.Check());
    return MakeError(Error::kInvalidArgument,
                     StrCat("the template refuses the conversation: ", PrintableName(message)));
  }
  if (name == "range") {
    int64_t bounds[3] = {0, 0, 1};
    const size_t count = arguments.positional.size();
    if (count < 1 || count > 3 || !arguments.named.empty()) return Refuse("range: arguments");
    for (size_t i = 0; i < count; ++i) {
      const auto number = AsIndex(arguments.positional[i]);
      if (!number.has_value()) return Refuse("range with a bound that is no whole number");
      bounds[count == 1 ? 1 : i] = *number;
    }
    if (bounds[2] == 0) return Refuse("range with step 0");
    std::vector<Value> items;
    for (int64_t i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1];) {
      RETURN_IF_ERROR(work.Charge(64));
      if (items.size() == kMaxRange) return Refuse(StrCat("a range longer than ", kMaxRange));
      items.emplace_back(i);
      if (__builtin_add_overflow(i, bounds[2], &i)) break;
    }
    return MakeList(std::move(items));
  }
  if (!arguments.positional.empty()) {
    return Refuse(StrCat(name, " with arguments that have no name"));
  }
  ASSIGN_OR_RETURN(Value value, MakeDict(arguments.named));
  if (name == "namespace") {
    auto space = std::make_shared<Dict>(*value.AsDict());
    space->is_namespace = true;
    return Value(std::move(space));
  }
  return value;
}

}  // namespace quantized::jinja
