#include "daemon/worker/inspect.h"

#include <string_view>

#include "core/pipeline/inspect.h"
#include "daemon/answer/json_answer.h"

namespace quantized {
namespace {

// False for words that are none.
bool ParseOptions(std::span<char* const> words, InspectOptions& options) {
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (word == "--tensors") {
      options.tensors = true;
    } else if (word == "--verify") {
      options.verify = true;
    } else if (word == "--against" && i + 1 < words.size()) {
      options.against = words[++i];
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

std::optional<int> RunInspect(std::span<char* const> words) {
  InspectOptions options;
  if (words.empty() || !ParseOptions(words.subspan(1), options)) return std::nullopt;
  return PrintAnswer([&] { return Inspect(words[0], options); });
}

}  // namespace quantized
