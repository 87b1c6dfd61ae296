// Qwen 2 and 2.5: query, key and value have biases, heads stay in rotate-half order.
#include "core/arch/architecture.h"

namespace quantized {
namespace {

constexpr std::string_view kNames[] = {"Qwen2ForCausalLM", "Qwen2Model"};

constexpr TensorRule kTensors[] = {
    {"embed_tokens", "token_embd", Dim::kVocabulary, Dim::kHidden},
    {"lm_head", "output", Dim::kVocabulary, Dim::kHidden, Transform::kNone, /*optional=*/true},
    {"norm", "output_norm", Dim::kNone, Dim::kHidden},
    {"layers.{i}.input_layernorm", "blk.{i}.attn_norm", Dim::kNone, Dim::kHidden},
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

constexpr Architecture kQwen2 = {
    .hf_names = kNames,
    .gguf_name = "qwen2",
    .model_type = "qwen2",
    .tensors = kTensors,
    .keys = {},
    .may_pool = true,
    .forward = {.windowed = ForwardRules::Windowed::kFromMaxWindowLayers}};

}  // namespace quantized
