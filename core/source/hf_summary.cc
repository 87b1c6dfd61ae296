#include "core/source/hf_summary.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "core/base/status_macros.h"
#include "core/tensor/dtype.h"

namespace quantized {
namespace {

constexpr std::string_view kHiddenNames[] = {"hidden_size", "n_embd", "d_model", "dim"};
constexpr std::string_view kHeadNames[] = {"num_attention_heads", "n_head", "n_heads", "num_heads"};

// Tables and masks that a model makes anew; they are no parameters.
bool IsBuffer(std::string_view name) {
  constexpr std::string_view kSuffixes[] = {".attention.masked_bias", ".attention.bias",
                                            ".rotary_emb.inv_freq"};
  return std::ranges::any_of(kSuffixes, [&](std::string_view s) { return name.ends_with(s); });
}

uint64_t Elements(const safetensors::TensorInfo& info) {
  return info.size_bytes / RowOf(info.dtype).size_bytes;
}

absl::StatusOr<uint32_t> Figure(const HfConfig& config, std::span<const std::string_view> names) {
  ASSIGN_OR_RETURN(const std::optional<uint32_t> value, config.Uint32(names));
  return value.value_or(0);
}

}  // namespace

std::string HfModelName(const std::filesystem::path& directory) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(directory, error);
  const std::filesystem::path path = (error ? directory : absolute).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

absl::StatusOr<ModelSummary> SummarizeHf(const HfConfig& config, const HfWeights& weights,
                                         std::string_view name) {
  ModelSummary summary;
  summary.name = name;
  summary.architecture = config.architecture();
  const auto type = config.file().find("model_type");
  if (summary.architecture.empty() && type != config.file().end() && type->is_string()) {
    summary.architecture = type->get<std::string>();
  }
  std::map<DType, uint64_t> elements_by_type;
  for (const HfWeights::Tensor& tensor : weights.tensors()) {
    if (IsBuffer(tensor.info->name)) continue;
    summary.size_bytes += tensor.info->size_bytes;
    summary.parameter_count += Elements(*tensor.info);
    elements_by_type[tensor.info->dtype] += Elements(*tensor.info);
  }
  if (!elements_by_type.empty()) {
    const auto most =
        std::ranges::max_element(elements_by_type, {}, [](const auto& row) { return row.second; });
    summary.dtype = RowOf(most->first).torch_name;
  }
  ASSIGN_OR_RETURN(summary.num_layers, Figure(config, kLayerCountNames));
  ASSIGN_OR_RETURN(summary.hidden_size, Figure(config, kHiddenNames));
  ASSIGN_OR_RETURN(summary.num_heads, Figure(config, kHeadNames));
  ASSIGN_OR_RETURN(summary.vocab_size, Figure(config, kVocabSizeNames));
  return summary;
}

}  // namespace quantized
