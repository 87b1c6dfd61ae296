#include "core/source/completeness.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/packed/reader.h"
#include "core/source/quantization.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr std::string_view kCodes = ".qweight";

// Qwen 3's fields for models with a plain feed-forward part in some layers, of which the rules know
// nothing.
bool SomeLayersHaveNoExperts(const HfConfig& config) {
  const json layers = config.fields().value("mlp_only_layers", json());
  const json step = config.fields().value("decoder_sparse_step", json());
  return (layers.is_array() && !layers.empty()) || (step.is_number() && step != 1);
}

// As the architecture's rules spell them.
std::unordered_set<std::string> WeightsOf(const Architecture& architecture,
                                          const HfWeights& weights) {
  std::unordered_set<std::string> names;
  for (const HfWeights::Tensor& tensor : weights.tensors()) {
    std::string name = PlainName(architecture, tensor.info->name);
    if (name.ends_with(kCodes)) {
      name = StrCat(name.substr(0, name.size() - kCodes.size()), ".weight");
    }
    names.insert(std::move(name));
  }
  return names;
}

}  // namespace

absl::Status CheckComplete(const HfConfig& config, const HfWeights& weights) {
  RETURN_IF_ERROR(CheckPackingIsSaid(config, weights));
  const Architecture* architecture = FindArchitecture(config.architecture());
  if (architecture == nullptr || SomeLayersHaveNoExperts(config)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<PackedScheme> scheme, ReadableScheme(config, weights));
  if (!scheme && QuantizationOf(config, weights) != nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Geometry geometry, GeometryOf(config));
  const std::unordered_set<std::string> found = WeightsOf(*architecture, weights);
  for (const TensorRule& rule : architecture->tensors) {
    if (rule.gguf.empty() || rule.optional) continue;
    const bool is_in_layers = rule.hf.find("{i}") != std::string_view::npos;
    for (uint32_t layer = 0; layer < (is_in_layers ? geometry.layers : 1); ++layer) {
      for (uint32_t expert = 0; expert < (IsStacked(rule) ? geometry.experts : 1); ++expert) {
        if (found.contains(StrCat(PlainModule(rule, layer, expert), ".weight"))) continue;
        return MissingTensor(rule, layer, expert, geometry);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status MissingTensor(const TensorRule& rule, uint32_t layer, uint32_t expert,
                           const Geometry& geometry) {
  const std::string experts = IsStacked(rule) ? StrCat(" of ", geometry.experts, " experts") : "";
  return MakeError(
      Error::kValidationFailed,
      StrCat("tensor ", CheckpointName(rule, layer, expert), ": expected by config.json (",
             geometry.layers, " layers", experts, "), found in no file"),
      "Check that all weights are there and belong to this config.json");
}

}  // namespace quantized
