#include "daemon/hub/without_token.h"

#include <algorithm>

#include "core/base/error.h"

namespace quantized {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::string WithoutToken(std::string_view text, std::string_view token) {
  std::string clean;
  const auto same = [](char a, char b) { return Lower(a) == Lower(b); };
  while (!token.empty()) {
    const auto found = std::search(text.begin(), text.end(), token.begin(), token.end(), same);
    if (found == text.end()) break;
    const auto before = static_cast<size_t>(found - text.begin());
    clean += text.substr(0, before);
    clean += "[token]";
    text.remove_prefix(before + token.size());
  }
  clean += text;
  return clean;
}

absl::Status WithoutToken(const absl::Status& status, std::string_view token) {
  if (status.ok() || token.empty()) return status;
  const std::string_view message(status.message().data(), status.message().size());
  return MakeError(ErrorOf(status), WithoutToken(message, token),
                   WithoutToken(SuggestionOf(status), token));
}

}  // namespace quantized
