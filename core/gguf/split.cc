#include "core/gguf/split.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace quantized::gguf {
namespace {

constexpr size_t kDigits = 5;
constexpr std::string_view kMiddle = "-of-", kSuffix = ".gguf";

std::optional<uint32_t> ParseDigits(std::string_view text) {
  uint32_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<uint32_t>(c - '0');
  }
  return number;
}

}  // namespace

std::optional<SplitName> ParseSplitName(std::string_view file_name) {
  constexpr size_t kTailBytes = 1 + kDigits + kMiddle.size() + kDigits + kSuffix.size();
  if (file_name.size() <= kTailBytes) return std::nullopt;
  const std::string_view tail = file_name.substr(file_name.size() - kTailBytes);
  if (tail.front() != '-' || tail.substr(1 + kDigits, kMiddle.size()) != kMiddle ||
      !tail.ends_with(kSuffix)) {
    return std::nullopt;
  }
  const auto number = ParseDigits(tail.substr(1, kDigits));
  const auto count = ParseDigits(tail.substr(1 + kDigits + kMiddle.size(), kDigits));
  if (!number || !count || *number < 1 || *number > *count) return std::nullopt;
  return SplitName{std::string(file_name.substr(0, file_name.size() - kTailBytes)), *number,
                   *count};
}

std::string FormatSplitName(const SplitName& name) {
  return absl::StrFormat("%s-%05d-of-%05d.gguf", name.prefix, name.number, name.count);
}

}  // namespace quantized::gguf
