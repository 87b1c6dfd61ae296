#include "core/rebuild/model_config.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/arch/geometry.h"
#include "core/arch/gguf_architecture.h"
#include "core/arch/metadata_keys.h"
#include "core/arch/tensor_names.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/special_vocabulary.h"
#include "core/rebuild/config_fields.h"
#include "core/rebuild/linear_biases.h"
#include "core/rebuild/metadata_values.h"
#include "core/rebuild/rope_scaling.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr std::string_view kArchitectureKey = "general.architecture";
constexpr std::string_view kEmbedding = "token_embd.weight";
constexpr std::string_view kOutputHead = "output.weight";

// For messages that speak of config.json.
constexpr std::string_view kWhere = "in the configuration that the GGUF keys stand for";

// Keys that config.json has no place for, and that change nothing there.
constexpr std::string_view kPassedOver[] = {"rope.scaling.finetuned", "tensor_data_layout"};
constexpr std::string_view kPooling = "pooling_type";  // goes into files of its own

// What GGUF runtimes take for granted of an architecture, and its class does not, or not always.
struct RuntimeField {
  std::string_view model_type;
  std::string_view field;
  std::string_view value;  // JSON
};
constexpr RuntimeField kRuntimeFields[] = {
    {"qwen2", "use_sliding_window", "false"},     {"qwen3", "use_sliding_window", "false"},
    {"qwen3_moe", "use_sliding_window", "false"}, {"qwen3_moe", "norm_topk_prob", "true"},
    {"qwen3_moe", "decoder_sparse_step", "1"},    {"qwen3_moe", "mlp_only_layers", "[]"},
};

// Models whose scores of attention are scaled by hidden size / heads, which runtimes tell by the
// number of their layers; those of all others are scaled by the size of a head.
struct ScaledByHidden {
  std::string_view model_type;
  uint32_t layers;
};
constexpr ScaledByHidden kScaledByHidden[] = {{"gemma2", 46}, {"gemma3_text", 62}};

bool IsKnown(std::string_view gguf_name) {
  return std::ranges::any_of(AllArchitectures(),
                             [&](const Architecture* row) { return row->gguf_name == gguf_name; });
}

std::string KnownNames() {
  std::string names;
  for (const Architecture* row : AllArchitectures()) {
    if (names.find(row->gguf_name) == std::string::npos) {
      StrAppend(&names, names.empty() ? "" : ", ", row->gguf_name);
    }
  }
  return names;
}

absl::Status CheckFits(const ArchitectureFit& fit) {
  const std::string_view name = fit.architecture->hf_names[0];
  if (fit.missing) {
    return KeyError(StrCat("tensor ", *fit.missing), "nothing",
                    StrCat("one, as ", name, " has it"));
  }
  if (!fit.unknown) return absl::OkStatus();
  return NoPlaceError(StrCat("tensor ", PrintableName(*fit.unknown)), "a tensor",
                      StrCat("none of this name, as ", name, " has none"));
}

absl::StatusOr<const Architecture*> ArchitectureOf(const ModelSource& source) {
  ASSIGN_OR_RETURN(const std::string* name, FindText(source.metadata(), kArchitectureKey));
  if (name == nullptr) {
    return KeyError(kArchitectureKey, "nothing", StrCat("one of ", KnownNames()));
  }
  if (!IsKnown(*name)) {
    return NoPlaceError(kArchitectureKey, FoundText(source.metadata().Find(kArchitectureKey)),
                        StrCat("one of ", KnownNames()));
  }
  const std::string count_key = StrCat(*name, ".block_count");
  ASSIGN_OR_RETURN(const auto layers, FindUint32(source.metadata(), count_key));
  const size_t most = source.tensors().size();  // a layer has more than one
  if (layers.value_or(0) == 0 || *layers > most) {
    return KeyError(count_key, layers ? StrCat(*layers) : "nothing",
                    StrCat("1 to ", most, ", the number of tensors"));
  }
  std::vector<std::string_view> names;
  for (const SourceTensor& tensor : source.tensors()) names.push_back(tensor.name);
  const ArchitectureFit fit = FitGgufArchitecture(*name, *layers, names);
  RETURN_IF_ERROR(CheckFits(fit));
  return fit.architecture;
}

const SourceTensor* Find(const ModelSource& source, std::string_view name) {
  const auto found = std::ranges::find(source.tensors(), name, &SourceTensor::name);
  return found == source.tensors().end() ? nullptr : &*found;
}

// What the architecture's row says, and what runtimes hold of it.
void SetConstants(const Architecture& architecture, json& fields) {
  fields["architectures"] = json::array({architecture.hf_names[0]});
  fields["model_type"] = architecture.model_type;
  fields["torch_dtype"] = "float16";
  if (architecture.forward.activation == ForwardRules::Activation::kGeluTanh) {
    fields["hidden_act"] = fields["hidden_activation"] = "gelu_pytorch_tanh";
  } else {
    fields["hidden_act"] = "silu";
  }
  for (const RuntimeField& row : kRuntimeFields) {
    if (row.model_type == architecture.model_type) {
      fields[std::string(row.field)] = json::parse(row.value);
    }
  }
  if (architecture.forward.query_pre_attn_scalar > 0) {
    const bool by_hidden = std::ranges::any_of(kScaledByHidden, [&](const ScaledByHidden& row) {
      return row.model_type == architecture.model_type && row.layers == fields["num_hidden_layers"];
    });
    const auto heads = fields["num_attention_heads"].get<uint32_t>();
    fields["query_pre_attn_scalar"] = by_hidden && heads > 0
                                          ? fields["hidden_size"].get<uint32_t>() / heads
                                          : fields.value("head_dim", 0u);
  }
}

// The ids of tokens with a role that every configuration has, null where there is none: absent,
// they would be those of the class.
absl::Status SetTokenIds(const gguf::Metadata& metadata, json& fields) {
  for (const std::string_view role : {"bos", "eos", "pad"}) {
    ASSIGN_OR_RETURN(const auto id, FindUint32(metadata, tokenizer::TokenIdKey(role)));
    fields[StrCat(role, "_token_id")] = id ? json(*id) : json();
  }
  return absl::OkStatus();
}

bool SameValue(const gguf::Metadata& a, const gguf::Metadata& b, std::string_view key) {
  const std::optional<uint64_t> number = a.GetUnsigned(key);
  return number ? number == b.GetUnsigned(key) : *a.Find(key) == *b.Find(key);
}

// Makes the architecture's keys of `config` and compares those that the file has.
absl::Status CheckGivesBack(const Architecture& architecture, const HfConfig& config,
                            const gguf::Metadata& metadata) {
  // What the class makes of other fields, with no field for it.
  gguf::Metadata computed;
  RETURN_IF_ERROR(AppendLongRopeMetadata(architecture, config, computed)) << kWhere;
  gguf::Metadata again = computed;
  RETURN_IF_ERROR(AppendArchitectureMetadata(architecture, config, /*file_type=*/0, again))
      << kWhere;
  const std::string prefix = StrCat(architecture.gguf_name, ".");
  for (const gguf::Metadata::Entry& entry : metadata.entries()) {
    if (!entry.key.starts_with(prefix)) continue;
    const std::string_view name = std::string_view(entry.key).substr(prefix.size());
    if (std::ranges::count(kPassedOver, name) > 0) continue;
    if (architecture.may_pool && name == kPooling) continue;
    const gguf::Value* value = again.Find(entry.key);
    if (value != nullptr && SameValue(metadata, again, entry.key)) continue;
    if (computed.Find(entry.key) != nullptr) {
      return NoPlaceError(PrintableName(entry.key), FoundText(&entry.value),
                          StrCat(FoundText(value), ", which ", architecture.hf_names[0],
                                 " takes whatever a configuration says"),
                          kStaysGguf);
    }
    if (value != nullptr) {
      return KeyError(PrintableName(entry.key), FoundText(&entry.value),
                      StrCat(FoundText(value), ", as other keys say"));
    }
    return NoPlaceError(PrintableName(entry.key), FoundText(&entry.value),
                        StrCat("no such key: the configuration of ", architecture.hf_names[0],
                               " has no field for it"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RebuiltConfig> RebuildConfig(const ModelSource& source) {
  ASSIGN_OR_RETURN(const Architecture* architecture, ArchitectureOf(source));
  ASSIGN_OR_RETURN(json fields, ConfigFields(*architecture, source.metadata()));
  fields["vocab_size"] = Find(source, kEmbedding)->rows();
  fields["tie_word_embeddings"] = Find(source, kOutputHead) == nullptr;
  SetConstants(*architecture, fields);
  RETURN_IF_ERROR(SetTokenIds(source.metadata(), fields));
  ASSIGN_OR_RETURN(
      const json biases,
      BiasFields(*architecture, fields["num_hidden_layers"].get<uint32_t>(), source.tensors()));
  fields.update(biases);
  ASSIGN_OR_RETURN(json rope_scaling, RopeScaling(*architecture, fields, source));
  if (!rope_scaling.is_null()) fields["rope_scaling"] = std::move(rope_scaling);
  ASSIGN_OR_RETURN(HfConfig config, HfConfig::Parse(fields.dump()), << kWhere);
  RETURN_IF_ERROR(GeometryOf(config).status()) << kWhere;
  RETURN_IF_ERROR(CheckGivesBack(*architecture, config, source.metadata()));
  return RebuiltConfig{architecture, std::move(config)};
}

}  // namespace quantized
