// Gemma 3, text: norms are kept as distances from one, before and after attention and feed-forward.
// Of the multimodal wrapper the text part is converted.
#include "core/arch/architecture.h"

namespace quantized {
namespace {

constexpr std::string_view kNames[] = {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"};

constexpr TensorRule kTensors[] = {
    {"embed_tokens", "token_embd", Dim::kVocabulary, Dim::kHidden, Transform::kCutToVocabulary},
    {"lm_head", "output", Dim::kVocabulary, Dim::kHidden, Transform::kNone, /*optional=*/true},
    {"norm", "output_norm", Dim::kNone, Dim::kHidden, Transform::kAddOne},
    {"layers.{i}.input_layernorm", "blk.{i}.attn_norm", Dim::kNone, Dim::kHidden,
     Transform::kAddOne},
    {"layers.{i}.self_attn.q_norm", "blk.{i}.attn_q_norm", Dim::kNone, Dim::kHead,
     Transform::kAddOne},
    {"layers.{i}.self_attn.k_norm", "blk.{i}.attn_k_norm", Dim::kNone, Dim::kHead,
     Transform::kAddOne},
    {"layers.{i}.self_attn.q_proj", "blk.{i}.attn_q", Dim::kQuery, Dim::kHidden},
    {"layers.{i}.self_attn.k_proj", "blk.{i}.attn_k", Dim::kKeyValue, Dim::kHidden},
    {"layers.{i}.self_attn.v_proj", "blk.{i}.attn_v", Dim::kKeyValue, Dim::kHidden},
    {"layers.{i}.self_attn.o_proj", "blk.{i}.attn_output", Dim::kHidden, Dim::kQuery},
    {"layers.{i}.post_attention_layernorm", "blk.{i}.post_attention_norm", Dim::kNone, Dim::kHidden,
     Transform::kAddOne},
    {"layers.{i}.pre_feedforward_layernorm", "blk.{i}.ffn_norm", Dim::kNone, Dim::kHidden,
     Transform::kAddOne},
    {"layers.{i}.post_feedforward_layernorm", "blk.{i}.post_ffw_norm", Dim::kNone, Dim::kHidden,
     Transform::kAddOne},
    {"layers.{i}.mlp.gate_proj", "blk.{i}.ffn_gate", Dim::kFeedForward, Dim::kHidden},
    {"layers.{i}.mlp.up_proj", "blk.{i}.ffn_up", Dim::kFeedForward, Dim::kHidden},
    {"layers.{i}.mlp.down_proj", "blk.{i}.ffn_down", Dim::kHidden, Dim::kFeedForward},
};

using Kind = MetadataKey::Kind;
using When = MetadataKey::When;

constexpr MetadataKey kKeys[] = {
    {"context_length", Kind::kUint32, When::kDefault, "max_position_embeddings", 131072},
    {"attention.head_count", Kind::kUint32, When::kDefault, "num_attention_heads", 8},
    {"attention.layer_norm_rms_epsilon", Kind::kFloat, When::kDefault, "rms_norm_eps", 1e-6},
    {"attention.key_length", Kind::kUint32, When::kDefault, "head_dim", 256},
    {"attention.value_length", Kind::kUint32, When::kDefault, "head_dim", 256},
    {"rope.freq_base", Kind::kFloat, When::kDefault, "", 1000000, MetadataKey::From::kRopeTheta},
    {"final_logit_softcapping", Kind::kFloat, When::kTruthy, "final_logit_softcapping"},
    {"attention.sliding_window", Kind::kUint32, When::kUnlessEveryLayerIsGlobal, "sliding_window"},
    {"attention.head_count_kv", Kind::kUint32, When::kDefault, "num_key_value_heads", 4},
};

}  // namespace

constexpr Architecture kGemma3 = {.hf_names = kNames,
                                  .gguf_name = "gemma3",
                                  .model_type = "gemma3_text",
                                  .tensors = kTensors,
                                  .keys = kKeys,
                                  .forward = {.activation = ForwardRules::Activation::kGeluTanh,
                                              .windowed = ForwardRules::Windowed::kPattern,
                                              .scales_embeddings = true,
                                              .query_pre_attn_scalar = 256,
                                              .scales_attention_inputs = false}};

}  // namespace quantized
