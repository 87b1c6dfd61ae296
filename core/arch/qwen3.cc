// Qwen 3, dense: a norm over each head of query and key, heads stay in rotate-half order.
#include "core/arch/architecture.h"

namespace quantized {
namespace {

constexpr std::string_view kNames[] = {"Qwen3ForCausalLM", "Qwen3Model"};

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
    {"layers.{i}.mlp.gate_proj", "blk.{i}.ffn_gate", Dim::kFeedForward, Dim::kHidden},
    {"layers.{i}.mlp.up_proj", "blk.{i}.ffn_up", Dim::kFeedForward, Dim::kHidden},
    {"layers.{i}.mlp.down_proj", "blk.{i}.ffn_down", Dim::kHidden, Dim::kFeedForward},
};

}  // namespace

constexpr Architecture kQwen3 = {
    .hf_names = kNames,
    .gguf_name = "qwen3",
    .model_type = "qwen3",
    .tensors = kTensors,
    .keys = {},
    .may_pool = true,
    // Its file has a two-row classifier made from the output head.
    .refused_name = "qwen3-reranker",
    .forward = {.windowed = ForwardRules::Windowed::kFromMaxWindowLayers}};

}  // namespace quantized
