#include "client/render/fetcher_answer.h"

#include <algorithm>

#include "client/render/json_access.h"
#include "core/base/error.h"

namespace quantized {
std::vector<std::string> FetcherMessages(std::string_view lines) {
  std::vector<std::string> messages;
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    const Json event = ParsedJson(lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (TextAt(event, "event") == "message") messages.push_back(TextAt(event, "message"));
  }
  return messages;
}

absl::StatusOr<std::string> FetchedPath(std::string_view answer) {
  std::string path = TextAt(ParsedJson(answer), "path");
  if (path.empty()) return MakeError(Error::kInternal, "quantize-fetch tells no path of the model");
  return path;
}

}  // namespace quantized
