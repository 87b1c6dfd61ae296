// The keys that most architectures share, in the order of a file, and the fields of config.json
// that they come from. The same rows serve both ways: from config.json to a file's metadata
// (metadata_keys.h) and back.
#pragma once

#include <array>
#include <string_view>

#include "core/arch/architecture.h"

namespace quantized {

// A key that every architecture has where its configuration has the field; families name the
// fields differently, and the first that is there counts.
struct SharedKey {
  std::string_view key;
  MetadataKey::Kind kind;
  std::array<std::string_view, 6> fields;
};

inline constexpr SharedKey kKeysBeforeRope[] = {
    {"context_length",
     MetadataKey::Kind::kUint32,
     {"max_position_embeddings", "n_ctx", "n_positions", "max_length", "max_sequence_length",
      "model_max_length"}},
    {"embedding_length", MetadataKey::Kind::kUint32, {"hidden_size", "n_embd", "dim"}},
    {"feed_forward_length",
     MetadataKey::Kind::kUint32,
     {"prefix_dense_intermediate_size", "dense_intermediate_size", "intermediate_size", "n_inner",
      "hidden_dim"}},
    {"attention.head_count",
     MetadataKey::Kind::kUint32,
     {"num_attention_heads", "n_head", "n_heads"}},
    {"attention.head_count_kv", MetadataKey::Kind::kUint32, {"num_key_value_heads", "n_kv_heads"}},
};

inline constexpr SharedKey kKeysAfterRope[] = {
    {"attention.layer_norm_rms_epsilon", MetadataKey::Kind::kFloat, {"rms_norm_eps", "norm_eps"}},
    {"attention.layer_norm_epsilon",
     MetadataKey::Kind::kFloat,
     {"layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"}},
    {"expert_count",
     MetadataKey::Kind::kUint32,
     {"num_local_experts", "num_experts", "n_routed_experts"}},
    {"expert_used_count",
     MetadataKey::Kind::kUint32,
     {"num_experts_per_tok", "num_experts_per_token", "top_k_experts"}},
    {"expert_group_count", MetadataKey::Kind::kUint32, {"n_group"}},
    {"expert_group_used_count", MetadataKey::Kind::kUint32, {"topk_group"}},
    {"attention.key_length", MetadataKey::Kind::kUint32, {"head_dim"}},
    {"attention.value_length", MetadataKey::Kind::kUint32, {"head_dim"}},
};

// Members of the rope block that are written for rope type yarn.
struct YarnKey {
  std::string_view key;
  std::string_view name, other_name = "";
};

inline constexpr YarnKey kYarnKeys[] = {
    {"rope.scaling.yarn_ext_factor", "extrapolation_factor"},
    {"rope.scaling.yarn_attn_factor", "attention_factor", "attn_factor"},
    {"rope.scaling.yarn_beta_fast", "beta_fast"},
    {"rope.scaling.yarn_beta_slow", "beta_slow"},
};

}  // namespace quantized
