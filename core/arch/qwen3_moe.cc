// Qwen 3 with experts in every layer: a norm over each head of query and key, heads stay in
// rotate-half order.
#include "core/arch/architecture.h"

namespace quantized {
namespace {

constexpr std::string_view kNames[] = {"Qwen3MoeForCausalLM"};

constexpr TensorRule kTensors[] = {
    {"embed_tokens", "token_embd", Dim::kVocabulary, Dim::kHidden},
    {"lm_head", "output", Dim::kVocabulary, Dim::kHidden, Transform::kNone, /*optional=*/true},
    {"norm", "output_norm", Dim::kNone, Dim::kHidden},
    {"layers.{i}.input_layernorm", "blk.{i}.attn_norm", Dim::kNone, Dim::kHidden},
    {"layers.{i}.self_attn.q_norm", "blk.{i}.attn_q_norm", Dim::kNone, Dim::kHead},
    {"layers.{i}.self_attn.k_norm", "blk.{i}.attn_k_norm", Dim::kNone, Dim::kHead},
    {"layers.{i}.self_attn.q_proj", "blk.{i}.attn_q", Dim::kQuery, Dim::kHidden},
    {"layers.{i}.self_attn.k_proj", "blk.{i}.attn_k", Dim::kKeyValue, Dim::kHidden},
    {"layers.{i}.self_attn.v_proj", "blk.{i}.attn_v", Dim::kKeyValue, Dim::kHidden},
    {"layers.{i}.self_attn.o_proj", "blk.{i}.attn_output", Dim::kHidden, Dim::kQuery},
    {"layers.{i}.post_attention_layernorm", "blk.{i}.ffn_norm", Dim::kNone, Dim::kHidden},
    {"layers.{i}.mlp.gate", "blk.{i}.ffn_gate_inp", Dim::kExperts, Dim::kHidden},
    {"layers.{i}.mlp.experts.{e}.down_proj", "blk.{i}.ffn_down_exps", Dim::kHidden,
     Dim::kExpertFeedForward},
    {"layers.{i}.mlp.experts.{e}.gate_proj", "blk.{i}.ffn_gate_exps", Dim::kExpertFeedForward,
     Dim::kHidden},
    {"layers.{i}.mlp.experts.{e}.up_proj", "blk.{i}.ffn_up_exps", Dim::kExpertFeedForward,
     Dim::kHidden},
};

constexpr MetadataKey kKeys[] = {
    {"expert_feed_forward_length", MetadataKey::Kind::kUint32, MetadataKey::When::kPresent,
     "moe_intermediate_size"},
    {"expert_shared_feed_forward_length", MetadataKey::Kind::kUint32, MetadataKey::When::kPresent,
     "shared_expert_intermediate_size"},
};

}  // namespace

constexpr Architecture kQwen3Moe = {
    .hf_names = kNames,
    .gguf_name = "qwen3moe",
    .model_type = "qwen3_moe",
    .tensors = kTensors,
    .keys = kKeys,
    .forward = {.windowed = ForwardRules::Windowed::kFromMaxWindowLayers,
                .normalizes_expert_weights = false}};

}  // namespace quantized
