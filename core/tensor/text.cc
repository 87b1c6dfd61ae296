#include "core/tensor/text.h"

#include "absl/strings/escaping.h"

namespace quantized {

std::string PrintableName(std::string_view name) {
  constexpr size_t kMaxBytes = 120;
  const std::string_view start = name.substr(0, kMaxBytes);
  std::string text = absl::CHexEscape(absl::string_view(start.data(), start.size()));
  if (start.size() < name.size()) text += "...";
  return text;
}

}  // namespace quantized
