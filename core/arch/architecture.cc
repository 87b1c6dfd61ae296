#include "core/arch/architecture.h"

#include <algorithm>
#include <array>

namespace quantized {
namespace {

constexpr std::array kArchitectures = {&kLlama,  &kMistral, &kQwen2,   &kQwen3,   &kGemma3,
                                       &kGemma2, &kPhi3,    &kMixtral, &kQwen3Moe};

}  // namespace

std::span<const Architecture* const> AllArchitectures() { return kArchitectures; }

const Architecture* FindArchitecture(std::string_view hf_name) {
  for (const Architecture* row : kArchitectures) {
    if (std::ranges::count(row->hf_names, hf_name) > 0) return row;
  }
  return nullptr;
}

}  // namespace quantized
