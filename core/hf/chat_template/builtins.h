// The filters, tests and methods of the template language that real templates use. Another name is
// refused by name: docs/design/chat-templates.md has the list.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/hf/chat_template/value.h"

namespace quantized::jinja {

// What one rendering may still do, in about bytes touched: whatever a template says, it ends.
class Work {
 public:
  // Errors: kValidationFailed when all is used up.
  absl::Status Charge(size_t bytes);

 private:
  size_t left_ = size_t{1} << 26;
};

struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Errors of all: kValidationFailed, which names the construct.
absl::StatusOr<Value> ApplyFilter(std::string_view name, const Value& value,
                                  const CallArguments& arguments, Work& work);
absl::StatusOr<bool> ApplyTest(std::string_view name, const Value& value,
                               const CallArguments& arguments, Work& work);

// value.name: a method, else a member, else an undefined value.
absl::StatusOr<Value> GetAttribute(const Value& value, std::string_view name);
// value[index] for any index.
absl::StatusOr<Value> GetItem(const Value& value, const Value& index);
// value[begin:end:step] by Python's rules; bounds are numbers, or none where they are absent.
absl::StatusOr<Value> GetSlice(const Value& value, const Value& begin, const Value& end,
                               const Value& step);

absl::StatusOr<Value> CallMethod(const Value& self, std::string_view name,
                                 const CallArguments& arguments, Work& work);
// raise_exception, range, namespace, dict. The first fails with kInvalidArgument.
absl::StatusOr<Value> CallGlobal(std::string_view name, const CallArguments& arguments, Work& work);
bool IsGlobal(std::string_view name);

// needle in haystack.
absl::StatusOr<bool> Contains(const Value& haystack, const Value& needle, Work& work);
// What a loop runs over: items, characters, names of members; nothing for an undefined value.
absl::StatusOr<std::vector<Value>> ItemsOf(const Value& value, Work& work);
// a OP b for + - * / // % ~.
absl::StatusOr<Value> Arithmetic(std::string_view op, const Value& a, const Value& b, Work& work);
// a OP b for < <= > >=.
absl::StatusOr<bool> Ordered(std::string_view op, const Value& a, const Value& b);

}  // namespace quantized::jinja
