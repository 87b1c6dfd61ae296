#include "core/tensor/text.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"

namespace quantized {

std::string HumanBytes(uint64_t bytes) {
  const double value = static_cast<double>(bytes);
  return bytes < 1'000'000'000 ? absl::StrFormat("%.1f MB", value / 1e6)
                               : absl::StrFormat("%.1f GB", value / 1e9);
}

std::string PrintableName(std::string_view name) {
  constexpr size_t kMaxBytes = 120;
  const std::string_view start = name.substr(0, kMaxBytes);
  std::string text = absl::CHexEscape(absl::string_view(start.data(), start.size()));
  if (start.size() < name.size()) text += "...";
  return text;
}

}  // namespace quantized
