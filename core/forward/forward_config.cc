#include "core/forward/forward_config.h"

#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <string_view>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/json_file.h"
#include "core/hf/json_number.h"

namespace quantized {
namespace {

using nlohmann::json;
using Windowed = ForwardRules::Windowed;

constexpr uint32_t kGemma3Pattern = 6;
constexpr uint32_t kMaxExperts = 4096;

// A field that is there and not null.
const json* Present(const HfConfig& config, std::string_view name) {
  const auto found = config.fields().find(name);
  return found == config.fields().end() || found->is_null() ? nullptr : &*found;
}

absl::Status Wrong(std::string_view field, std::string_view expected, const json* found) {
  return MakeError(Error::kValidationFailed,
                   StrCat("config.json: ", field, ": expected ", expected, ", found ",
                          found == nullptr ? "nothing" : JsonText(*found)));
}

absl::StatusOr<uint32_t> Whole(const HfConfig& config, std::string_view name, uint32_t fallback) {
  const json* value = Present(config, name);
  return value == nullptr ? fallback : JsonUint32(*value, StrCat("config.json: ", name));
}

absl::StatusOr<bool> Flag(const HfConfig& config, std::string_view name, bool fallback) {
  const json* value = Present(config, name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return Wrong(name, "true or false", value);
  return value->get<bool>();
}

// At least 0. A null means none, where a missing field means the class's default.
absl::StatusOr<float> Magnitude(const HfConfig& config, std::string_view name, double fallback) {
  const auto found = config.fields().find(name);
  if (found == config.fields().end()) return static_cast<float>(fallback);
  if (found->is_null()) return 0.0f;
  ASSIGN_OR_RETURN(const float value, JsonFloat(*found, StrCat("config.json: ", name)));
  if (value < 0) return Wrong(name, "a number of at least 0", &*found);
  return value;
}

struct ActivationName {
  std::string_view name;
  ForwardRules::Activation activation;
};
constexpr ActivationName kActivations[] = {
    {"silu", ForwardRules::Activation::kSilu},
    {"swish", ForwardRules::Activation::kSilu},
    {"gelu_pytorch_tanh", ForwardRules::Activation::kGeluTanh},
    {"gelu_new", ForwardRules::Activation::kGeluTanh},
};

// Gemma's classes look at hidden_activation only, whatever hidden_act says.
absl::Status CheckActivation(const Architecture& architecture, const HfConfig& config) {
  const bool is_gelu = architecture.forward.activation == ForwardRules::Activation::kGeluTanh;
  const std::string_view field = is_gelu ? "hidden_activation" : "hidden_act";
  const json* value = Present(config, field);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_string()) return Wrong(field, "the name of an activation", value);
  for (const ActivationName& row : kActivations) {
    if (row.name == value->get_ref<const std::string&>() &&
        row.activation == architecture.forward.activation) {
      return absl::OkStatus();
    }
  }
  return MakeError(
      Error::kNotImplemented,
      StrCat("config.json: ", field, ": ", JsonText(*value),
             " is not an activation that this version computes for ", architecture.hf_names[0]));
}

absl::StatusOr<bool> IsWindowed(const ForwardRules& rules, const HfConfig& config, uint32_t layer) {
  switch (rules.windowed) {
    case Windowed::kEveryLayer:
      return true;
    case Windowed::kEvenLayers:
      return layer % 2 == 0;
    case Windowed::kFromMaxWindowLayers: {
      ASSIGN_OR_RETURN(const bool on, Flag(config, "use_sliding_window", false));
      ASSIGN_OR_RETURN(const uint32_t first, Whole(config, "max_window_layers", 28));
      return on && layer >= first;
    }
    case Windowed::kPattern: {
      ASSIGN_OR_RETURN(const uint32_t pattern,
                       Whole(config, "sliding_window_pattern", kGemma3Pattern));
      if (pattern == 0) {
        return Wrong("sliding_window_pattern", "a number above 0",
                     Present(config, "sliding_window_pattern"));
      }
      return (layer + 1) % pattern != 0;
    }
  }
  return false;
}

absl::Status SetLayers(const HfConfig& config, ForwardConfig& out) {
  const ForwardRules& rules = out.architecture->forward;
  ASSIGN_OR_RETURN(const uint32_t window, Whole(config, "sliding_window", 0));
  const json* types = Present(config, "layer_types");
  if (types != nullptr && (!types->is_array() || types->size() != out.geometry.layers)) {
    return Wrong("layer_types", StrCat("a list of ", out.geometry.layers, " names"), types);
  }
  for (uint32_t layer = 0; layer < out.geometry.layers; ++layer) {
    bool sliding = false;
    if (types != nullptr) {
      const json& type = (*types)[layer];
      if (type != "full_attention" && type != "sliding_attention") {
        return Wrong(StrCat("layer_types[", layer, "]"), "full_attention or sliding_attention",
                     &type);
      }
      sliding = type == "sliding_attention";
    } else {
      ASSIGN_OR_RETURN(sliding, IsWindowed(rules, config, layer));
    }
    const bool has_local_rope = config.rope().contains("sliding_attention");
    out.layers.push_back(
        {.window = sliding ? window : 0, .local_rotation = sliding && has_local_rope});
  }
  return absl::OkStatus();
}

absl::Status SetExperts(const HfConfig& config, ForwardConfig& out) {
  const json* local = Present(config, "num_local_experts");
  ASSIGN_OR_RETURN(out.experts,
                   Whole(config, local != nullptr ? "num_local_experts" : "num_experts", 0));
  if (out.experts == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(out.experts_per_token, Whole(config, "num_experts_per_tok", 0));
  ASSIGN_OR_RETURN(out.expert_feed_forward,
                   Whole(config, "moe_intermediate_size", out.geometry.feed_forward));
  ASSIGN_OR_RETURN(
      out.normalizes_expert_weights,
      Flag(config, "norm_topk_prob", out.architecture->forward.normalizes_expert_weights));
  if (out.experts > kMaxExperts || out.experts_per_token == 0 ||
      out.experts_per_token > out.experts) {
    return MakeError(Error::kValidationFailed,
                     StrCat("config.json: num_experts_per_tok: expected 1 to ", out.experts,
                            " (the number of experts, at most ", kMaxExperts, "), found ",
                            out.experts_per_token));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ForwardConfig> ForwardConfigOf(const Architecture& architecture,
                                              const HfConfig& config) {
  const ForwardRules& rules = architecture.forward;
  ForwardConfig out;
  out.architecture = &architecture;
  ASSIGN_OR_RETURN(out.geometry, GeometryOf(config));
  RETURN_IF_ERROR(CheckActivation(architecture, config));
  constexpr std::array<std::string_view, 1> kEpsilonNames = {"rms_norm_eps"};
  ASSIGN_OR_RETURN(const std::optional<float> epsilon, config.Float(kEpsilonNames));
  if (!epsilon || !(*epsilon > 0)) {
    return Wrong("rms_norm_eps", "a number above 0", Present(config, "rms_norm_eps"));
  }
  out.norm_epsilon = *epsilon;
  if (rules.scales_embeddings) {
    out.embedding_scale = std::sqrt(static_cast<float>(out.geometry.hidden));
  }
  ASSIGN_OR_RETURN(const float scalar,
                   Magnitude(config, "query_pre_attn_scalar", rules.query_pre_attn_scalar));
  const bool by_scalar = rules.query_pre_attn_scalar > 0 && scalar > 0;
  out.attention_scale = static_cast<float>(
      1 / std::sqrt(static_cast<double>(by_scalar ? scalar : out.geometry.head_dim)));
  if (rules.attention_softcap > 0) {
    ASSIGN_OR_RETURN(out.attention_softcap,
                     Magnitude(config, "attn_logit_softcapping", rules.attention_softcap));
  }
  ASSIGN_OR_RETURN(out.final_softcap,
                   Magnitude(config, "final_logit_softcapping", rules.final_softcap));
  RETURN_IF_ERROR(SetLayers(config, out));
  RETURN_IF_ERROR(SetExperts(config, out));
  return out;
}

}  // namespace quantized
