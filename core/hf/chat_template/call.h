// What a filter, test, method or function of the template language gets when it is called: its
// arguments, and the work that it may still do. Not for several threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/hf/chat_template/value.h"

namespace quantized::jinja {

// What one rendering may still do, in about bytes touched: whatever a template says, it ends.
// docs/design/chat-templates.md, "Bounds".
class Work {
 public:
  // Errors: kValidationFailed when all is used up; the rest then stays as it was.
  absl::Status Charge(size_t bytes);

 private:
  size_t left_ = size_t{1} << 26;
};

// As the template gives them, each kind in its order.
struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Reads the arguments of a call by place or name, in the order of its parameters; Check() then
// refuses what is left over. Both arguments of the constructor outlive the reader; what Next()
// returns points into `arguments`.
class ArgumentReader {
 public:
  // `call` is the name for messages.
  ArgumentReader(std::string_view call, const CallArguments& arguments);

  // The argument at the next place, or else with that name; null when it is not given.
  const Value* Next(std::string_view name);
  // Next(), which must be a text. Errors: kValidationFailed, as Wrong() words it.
  absl::StatusOr<std::string> Text(std::string_view name);
  // Errors: kValidationFailed where an argument was given that nobody asked for.
  absl::Status Check() const;
  // Refuses an argument: kValidationFailed, with what is there (null: nothing) and what should be.
  absl::Status Wrong(std::string_view name, const Value* found, std::string_view expected) const;

 private:
  std::string_view call_;
  const CallArguments& arguments_;
  size_t places_ = 0, named_ = 0;
};

// Whether a table of names has this one. What can be called stands in such tables; all else is
// refused by name.
template <size_t N>
bool Has(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace quantized::jinja
