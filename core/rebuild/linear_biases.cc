#include "core/rebuild/linear_biases.h"

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/str_cat.h"
#include "core/rebuild/metadata_values.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr std::string_view kAttention[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
constexpr std::string_view kQueryKeyValue[] = {"attn_q", "attn_k", "attn_v"};
constexpr std::string_view kFeedForward[] = {"ffn_gate", "ffn_up", "ffn_down"};

struct BiasRule {
  std::string_view model_type;
  std::string_view field;  // empty: the class always has them
  std::span<const std::string_view> modules;
};
constexpr BiasRule kRules[] = {
    {"llama", "attention_bias", kAttention},
    {"llama", "mlp_bias", kFeedForward},
    {"qwen2", "", kQueryKeyValue},
    {"qwen3", "attention_bias", kAttention},
    {"qwen3_moe", "attention_bias", kAttention},
    {"gemma2", "attention_bias", kAttention},
    {"gemma3_text", "attention_bias", kAttention},
};

std::vector<std::string> NamesOf(const BiasRule& rule, uint32_t layers) {
  std::vector<std::string> names;
  for (uint32_t layer = 0; layer < layers; ++layer) {
    for (const std::string_view module : rule.modules) {
      names.push_back(StrCat("blk.", layer, ".", module, ".bias"));
    }
  }
  return names;
}

}  // namespace

absl::StatusOr<json> BiasFields(const Architecture& architecture, uint32_t layers,
                                std::span<const SourceTensor> tensors) {
  std::set<std::string_view> biases;
  for (const SourceTensor& tensor : tensors) {
    if (tensor.name.ends_with(".bias")) biases.insert(tensor.name);
  }
  json fields = json::object();
  for (const BiasRule& rule : kRules) {
    if (rule.model_type != architecture.model_type) continue;
    const std::vector<std::string> names = NamesOf(rule, layers);
    size_t found = 0;
    const std::string* missing = nullptr;
    for (const std::string& name : names) {
      if (biases.erase(name) > 0) {
        ++found;
      } else if (missing == nullptr) {
        missing = &name;
      }
    }
    if (missing != nullptr && rule.field.empty()) {
      return KeyError(StrCat("tensor ", *missing), "nothing",
                      StrCat("a bias, as ", architecture.hf_names[0], " has always"));
    }
    if (missing != nullptr && found > 0) {
      return NoPlaceError(
          StrCat("tensor ", *missing), "nothing",
          StrCat("a bias, as ", architecture.hf_names[0], " has all or none of them"), kStaysGguf);
    }
    if (!rule.field.empty()) fields[std::string(rule.field)] = found > 0;
  }
  if (!biases.empty()) {
    return NoPlaceError(StrCat("tensor ", *biases.begin()), "a bias",
                        StrCat("none, as ", architecture.hf_names[0], " has none there"));
  }
  return fields;
}

}  // namespace quantized
