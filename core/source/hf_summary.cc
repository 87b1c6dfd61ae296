#include "core/source/hf_summary.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/arch/architecture.h"
#include "core/arch/tensor_names.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/packed_weights.h"
#include "core/source/quantization.h"
#include "core/tensor/dtype.h"
#include "core/tensor/shape.h"

namespace quantized {
namespace {

constexpr std::string_view kHiddenNames[] = {"hidden_size", "n_embd", "d_model", "dim"};
constexpr std::string_view kHeadNames[] = {"num_attention_heads", "n_head", "n_heads", "num_heads"};

// What occurs most often, by `count` of each.
template <class Key>
std::optional<Key> Most(const std::map<Key, uint64_t>& count) {
  if (count.empty()) return std::nullopt;
  return std::ranges::max_element(count, {}, [](const auto& row) { return row.second; })->first;
}

// "gptq 4bit", as most of the linears are.
std::string PackingOf(const PackedWeights& packed) {
  std::map<int, uint64_t> weights_by_bits;
  for (const PackedModule& module : packed.modules()) {
    weights_by_bits[module.bits] += uint64_t{module.out} * module.in;
  }
  const int bits = Most(weights_by_bits).value_or(packed.scheme().bits);
  return StrCat(NameOf(packed.scheme().method), " ", bits, "bit");
}

absl::StatusOr<uint32_t> Figure(const HfConfig& config, std::span<const std::string_view> names) {
  ASSIGN_OR_RETURN(const std::optional<uint32_t> value, config.Uint32(names));
  return value.value_or(0);
}

uint64_t ParameterCount(const std::vector<CheckpointTensor>& tensors) {
  uint64_t count = 0;
  for (const CheckpointTensor& tensor : tensors) {
    if (!IsBuffer(tensor.name)) count += *ElementCount(tensor.shape);
  }
  return count;
}

// Whether loaders take the embedding for the output head, whatever is stored.
bool HasTiedHead(const HfConfig& config) {
  const auto tied = config.fields().find("tie_word_embeddings");
  if (tied != config.fields().end()) return *tied == true;
  // Where the configuration is silent, only an architecture that reads no head tells.
  const Architecture* architecture = FindArchitecture(config.architecture());
  return architecture != nullptr &&
         std::ranges::any_of(architecture->tensors, [](const TensorRule& rule) {
           return rule.hf == "lm_head" && rule.gguf.empty();
         });
}

// Elements of an output head that is stored although it is the embedding: they are parameters once
// (transformers' num_parameters). A head that is quantized, or of another shape, is its own.
uint64_t TiedHeadElements(const HfConfig& config, const HfWeights& weights) {
  constexpr std::string_view kHead = "lm_head.weight";
  constexpr std::string_view kEmbeddings[] = {"embed_tokens.weight", "wte.weight",
                                              "word_embeddings.weight"};
  if (!HasTiedHead(config)) return 0;
  const auto tensors = weights.tensors();
  const auto is_head = [&](const HfWeights::Tensor& tensor) {
    return tensor.info->name == kHead || tensor.info->name.ends_with(StrCat(".", kHead));
  };
  const auto head = std::ranges::find_if(tensors, is_head);
  if (head == tensors.end()) return 0;
  const auto is_embedding = [&](const HfWeights::Tensor& tensor) {
    return tensor.info->shape == head->info->shape &&
           std::ranges::any_of(kEmbeddings, [&](std::string_view name) {
             return tensor.info->name.ends_with(name);
           });
  };
  return std::ranges::any_of(tensors, is_embedding) ? *ElementCount(head->info->shape) : 0;
}

}  // namespace

std::string HfModelName(const std::filesystem::path& directory) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(directory, error);
  const std::filesystem::path path = (error ? directory : absolute).lexically_normal();
  const std::filesystem::path folder = path.has_filename() ? path : path.parent_path();
  // In a cache of the Hub, models--org--name/snapshots/COMMIT.
  const std::string repository = folder.parent_path().parent_path().filename().string();
  if (folder.parent_path().filename() == "snapshots" && repository.starts_with("models--")) {
    return repository.substr(repository.rfind("--") + 2);
  }
  return folder.filename().string();
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
  const bool is_quantized = QuantizationOf(config, weights) != nullptr || HasPackedLinears(weights);
  std::map<DType, uint64_t> bytes_by_type;  // codes of quantized weights do not count
  for (const HfWeights::Tensor& tensor : weights.tensors()) {
    if (IsBuffer(tensor.info->name)) continue;
    summary.size_bytes += tensor.info->size_bytes;
    const bool is_code = is_quantized && !RowOf(tensor.info->dtype).is_float;
    if (!is_code) bytes_by_type[tensor.info->dtype] += tensor.info->size_bytes;
  }
  if (const auto most = Most(bytes_by_type)) summary.dtype = RowOf(*most).torch_name;
  ASSIGN_OR_RETURN(const std::optional<PackedScheme> scheme, ReadableScheme(config, weights));
  if (scheme) {
    ASSIGN_OR_RETURN(const auto packed, PackedWeights::Open(weights, *scheme));
    ASSIGN_OR_RETURN(const std::vector<CheckpointTensor> tensors,
                     packed->Tensors(kernels::TypeId::kF32));
    summary.packing = PackingOf(*packed);
    summary.parameter_count = ParameterCount(tensors);
  } else if (!is_quantized) {
    summary.parameter_count = ParameterCount(PlainTensors(weights));
  }
  if (summary.parameter_count > 0) {
    summary.parameter_count -= TiedHeadElements(config, weights);
  }
  ASSIGN_OR_RETURN(summary.num_layers, Figure(config, kLayerCountNames));
  ASSIGN_OR_RETURN(summary.hidden_size, Figure(config, kHiddenNames));
  ASSIGN_OR_RETURN(summary.num_heads, Figure(config, kHeadNames));
  ASSIGN_OR_RETURN(summary.vocab_size, Figure(config, kVocabSizeNames));
  return summary;
}

}  // namespace quantized
