#include "client/commands/levels.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "client/commands/ask_worker.h"
#include "client/render/json_access.h"
#include "core/base/error.h"

namespace quantized {
namespace {

bool LooksLikeLevel(std::string_view level) {
  return !level.empty() && std::all_of(level.begin(), level.end(), [](unsigned char c) {
    return (std::isalnum(c) != 0 && c < 0x80) || c == '_';
  });
}

absl::Status BadLevels(const std::vector<std::string>& levels, std::string_view one,
                       std::string_view several, std::string_view suggestion) {
  return MakeError(Error::kInvalidArgument,
                   fmt::format("option '--quant-level': '{}' {}", fmt::join(levels, "', '"),
                               levels.size() == 1 ? one : several),
                   suggestion);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseLevels(std::string_view text) {
  const std::vector<std::string> levels =
      absl::StrSplit(absl::string_view(text.data(), text.size()), ',');
  std::vector<std::string> odd, repeated;
  std::set<std::string> seen;
  for (const std::string& level : levels) {
    if (!LooksLikeLevel(level)) {
      odd.push_back(level);
    } else if (!seen.insert(absl::AsciiStrToUpper(level)).second) {
      repeated.push_back(level);
    }
  }
  if (!odd.empty()) {
    return BadLevels(odd, "is not a level", "are no levels", "Levels look like Q4_K_M or Q8_0");
  }
  if (!repeated.empty()) {
    return BadLevels(repeated, "is given twice", "are given twice", "Name each level once");
  }
  return levels;
}

std::vector<std::string> AskLevels(const CommandContext& context, std::string_view format) {
  const absl::StatusOr<std::string> answer = AskWorker(context, "the list of levels", {"levels"});
  if (!answer.ok()) return {};
  std::vector<std::string> levels;
  const Json parsed = ParsedJson(*answer);
  for (const Json& level : ListAt(parsed.value("levels", Json()), format)) {
    if (level.is_string()) levels.push_back(level.get<std::string>());
  }
  return levels;
}

}  // namespace quantized
