#include "core/arch/gguf_architecture.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/arch/tensor_names.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

ArchitectureFit FitOf(const Architecture& architecture, uint32_t layers,
                      std::span<const std::string_view> tensors) {
  std::set<std::string_view> left;
  for (const std::string_view name : tensors) {
    if (!IsGeneratedTensor(architecture, name)) left.insert(name);
  }
  const size_t all = left.size();
  ArchitectureFit fit = {.architecture = &architecture};
  for (const TensorRule& rule : architecture.tensors) {
    if (rule.gguf.empty()) continue;
    const bool in_layers = rule.gguf.find("{i}") != std::string_view::npos;
    for (uint32_t layer = 0; layer < (in_layers ? layers : 1); ++layer) {
      const std::string weight = GgufName(rule, layer);
      if (left.erase(weight) == 0 && !rule.optional && !fit.missing) fit.missing = weight;
      left.erase(StrCat(weight.substr(0, weight.rfind('.')), ".bias"));
    }
  }
  fit.known = all - left.size();
  if (!left.empty()) fit.unknown = *left.begin();
  return fit;
}

}  // namespace

ArchitectureFit FitGgufArchitecture(std::string_view gguf_name, uint32_t layers,
                                    std::span<const std::string_view> tensors) {
  layers = static_cast<uint32_t>(std::min<size_t>(layers, tensors.size()));
  ArchitectureFit best;
  for (const Architecture* row : AllArchitectures()) {
    if (row->gguf_name != gguf_name) continue;
    ArchitectureFit fit = FitOf(*row, layers, tensors);
    if (best.architecture == nullptr || fit.known > best.known) best = std::move(fit);
  }
  return best;
}

}  // namespace quantized
