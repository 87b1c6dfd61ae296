#include "client/render/substitution_kinds.h"

#include <fmt/format.h>

namespace quantized {

void SubstitutionKinds::Add(std::string_view wanted_type, std::string_view used_type,
                            std::string_view why) {
  ++kinds_[fmt::format("{} instead of {} ({})", used_type, wanted_type, why)];
}

std::vector<std::string> SubstitutionKinds::Lines() const {
  std::vector<std::string> lines;
  for (const auto& [kind, tensors] : kinds_) {
    lines.push_back(tensors == 1 ? fmt::format("1 tensor is {}", kind)
                                 : fmt::format("{} tensors are {}", tensors, kind));
  }
  return lines;
}

}  // namespace quantized
