#include "core/hf/config_classes.h"

#include <array>

namespace quantized {
namespace {

using When = ConfigDefault::When;
using From = ConfigDefault::From;

constexpr ConfigDefault Value(std::string_view name, double value) {
  return {name, When::kMissing, From::kValue, value};
}
constexpr ConfigDefault Copy(std::string_view name, When when, std::string_view field) {
  return {name, when, From::kField, 0, field};
}
constexpr ConfigDefault Quotient(std::string_view name, std::string_view field,
                                 std::string_view divisor) {
  return {name, When::kMissingOrNull, From::kQuotient, 0, field, divisor};
}

constexpr ConfigDefault kLlama[] = {
    Value("vocab_size", 32000),
    Value("hidden_size", 4096),
    Value("intermediate_size", 11008),
    Value("num_hidden_layers", 32),
    Value("num_attention_heads", 32),
    Copy("num_key_value_heads", When::kMissingOrNull, "num_attention_heads"),
    Value("max_position_embeddings", 2048),
    Value("rms_norm_eps", 1e-6),
    Value("rope_theta", 10000),
    Quotient("head_dim", "hidden_size", "num_attention_heads"),
};

// Unlike Llama's, this class leaves head_dim alone.
constexpr ConfigDefault kMistral[] = {
    Value("vocab_size", 32000),
    Value("hidden_size", 4096),
    Value("intermediate_size", 14336),
    Value("num_hidden_layers", 32),
    Value("num_attention_heads", 32),
    Copy("num_key_value_heads", When::kNull, "num_attention_heads"),
    Value("num_key_value_heads", 8),
    Value("max_position_embeddings", 131072),
    Value("rms_norm_eps", 1e-6),
    Value("rope_theta", 10000),
};

constexpr ConfigDefault kQwen2[] = {
    Value("vocab_size", 151936),
    Value("hidden_size", 4096),
    Value("intermediate_size", 22016),
    Value("num_hidden_layers", 32),
    Value("num_attention_heads", 32),
    Copy("num_key_value_heads", When::kNull, "num_attention_heads"),
    Value("num_key_value_heads", 32),
    Value("max_position_embeddings", 32768),
    Value("rms_norm_eps", 1e-6),
    Value("rope_theta", 10000),
};

constexpr ConfigDefault kQwen3[] = {
    Value("vocab_size", 151936),
    Value("hidden_size", 4096),
    Value("intermediate_size", 22016),
    Value("num_hidden_layers", 32),
    Value("num_attention_heads", 32),
    Copy("num_key_value_heads", When::kNull, "num_attention_heads"),
    Value("num_key_value_heads", 32),
    Value("head_dim", 128),
    Value("max_position_embeddings", 32768),
    Value("rms_norm_eps", 1e-6),
    Value("rope_theta", 10000),
};

constexpr ConfigDefault kGemma3Text[] = {
    Value("vocab_size", 262208),
    Value("hidden_size", 2304),
    Value("intermediate_size", 9216),
    Value("num_hidden_layers", 26),
    Value("num_attention_heads", 8),
    Value("num_key_value_heads", 4),
    Value("head_dim", 256),
    Value("max_position_embeddings", 131072),
    Value("rms_norm_eps", 1e-6),
    Value("rope_theta", 1000000),
    Value("rope_local_base_freq", 10000),
    Value("sliding_window", 4096),
};

constexpr ConfigDefault kGemma2[] = {
    Value("vocab_size", 256000),
    Value("hidden_size", 2304),
    Value("intermediate_size", 9216),
    Value("num_hidden_layers", 26),
    Value("num_attention_heads", 8),
    Value("num_key_value_heads", 4),
    Value("head_dim", 256),
    Value("max_position_embeddings", 8192),
    Value("rms_norm_eps", 1e-6),
    Value("rope_theta", 10000),
    Value("sliding_window", 4096),
    Value("attn_logit_softcapping", 50),
    Value("final_logit_softcapping", 30),
};

constexpr ConfigDefault kPhi3[] = {
    Value("vocab_size", 32064),
    Value("hidden_size", 3072),
    Value("intermediate_size", 8192),
    Value("num_hidden_layers", 32),
    Value("num_attention_heads", 32),
    Copy("num_key_value_heads", When::kMissingOrNull, "num_attention_heads"),
    Value("max_position_embeddings", 4096),
    Value("original_max_position_embeddings", 4096),
    Value("partial_rotary_factor", 1),
    Value("rms_norm_eps", 1e-5),
    Value("rope_theta", 10000),
};

constexpr ConfigDefault kMixtral[] = {
    Value("vocab_size", 32000),
    Value("hidden_size", 4096),
    Value("intermediate_size", 14336),
    Value("num_hidden_layers", 32),
    Value("num_attention_heads", 32),
    Copy("num_key_value_heads", When::kNull, "num_attention_heads"),
    Value("num_key_value_heads", 8),
    Value("max_position_embeddings", 131072),
    Value("rms_norm_eps", 1e-5),
    Value("rope_theta", 1000000),
    Value("num_experts_per_tok", 2),
    Value("num_local_experts", 8),
};

constexpr ConfigDefault kQwen3Moe[] = {
    Value("vocab_size", 151936),
    Value("hidden_size", 2048),
    Value("intermediate_size", 6144),
    Value("num_hidden_layers", 24),
    Value("num_attention_heads", 32),
    Value("num_key_value_heads", 4),
    Value("max_position_embeddings", 32768),
    Value("rms_norm_eps", 1e-6),
    Value("rope_theta", 10000),
    Value("moe_intermediate_size", 768),
    Value("num_experts_per_tok", 8),
    Value("num_experts", 128),
};

constexpr std::array kConfigClasses = {
    ConfigClass{.model_type = "llama",
                .defaults = kLlama,
                .rope_type_from_type = true,
                .checks_rope = true},
    ConfigClass{.model_type = "mistral", .defaults = kMistral},
    ConfigClass{.model_type = "qwen2",
                .defaults = kQwen2,
                .rope_type_from_type = true,
                .checks_rope = true},
    ConfigClass{.model_type = "qwen3",
                .defaults = kQwen3,
                .rope_type_from_type = true,
                .checks_rope = true},
    ConfigClass{.model_type = "gemma3_text", .defaults = kGemma3Text, .checks_rope = true},
    ConfigClass{.model_type = "gemma3", .defaults = {}, .text_class = "gemma3_text"},
    ConfigClass{.model_type = "gemma2", .defaults = kGemma2},
    ConfigClass{.model_type = "phi3", .defaults = kPhi3, .has_long_rope_only = true},
    ConfigClass{.model_type = "mixtral", .defaults = kMixtral},
    ConfigClass{.model_type = "qwen3_moe",
                .defaults = kQwen3Moe,
                .rope_type_from_type = true,
                .checks_rope = true},
};

constexpr std::string_view kTypeOnly[] = {"rope_type"};
constexpr std::string_view kWithFactor[] = {"rope_type", "factor"};
constexpr std::string_view kLongRope[] = {"rope_type", "short_factor", "long_factor"};
constexpr std::string_view kLlama3Rope[] = {"rope_type", "factor", "low_freq_factor",
                                            "high_freq_factor", "original_max_position_embeddings"};
constexpr std::array kRopeTypes = {
    RopeTypeMembers{"default", kTypeOnly},   RopeTypeMembers{"linear", kWithFactor},
    RopeTypeMembers{"dynamic", kWithFactor}, RopeTypeMembers{"yarn", kWithFactor},
    RopeTypeMembers{"longrope", kLongRope},  RopeTypeMembers{"llama3", kLlama3Rope},
};

}  // namespace

std::span<const ConfigClass> AllConfigClasses() { return kConfigClasses; }

const ConfigClass* FindConfigClass(std::string_view model_type) {
  for (const ConfigClass& row : kConfigClasses) {
    if (row.model_type == model_type) return &row;
  }
  return nullptr;
}

const RopeTypeMembers* FindRopeTypeMembers(std::string_view rope_type) {
  for (const RopeTypeMembers& row : kRopeTypes) {
    if (row.rope_type == rope_type) return &row;
  }
  return nullptr;
}

}  // namespace quantized
