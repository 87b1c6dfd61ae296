// Gemma 2: norms are kept as distances from one, before and after attention and feed-forward;
// scores of attention and of the output are capped.
#include "core/arch/architecture.h"

namespace quantized {
namespace {

constexpr std::string_view kNames[] = {"Gemma2ForCausalLM"};

constexpr TensorRule kTensors[] = {
    {"embed_tokens", "token_embd", Dim::kVocabulary, Dim::kHidden},
    // Some tools save the tied head; runtimes want none.
    {"lm_head", "", Dim::kVocabulary, Dim::kHidden, Transform::kNone, /*optional=*/true},
    {"norm", "output_norm", Dim::kNone, Dim::kHidden, Transform::kAddOne},
    {"layers.{i}.input_layernorm", "blk.{i}.attn_norm", Dim::kNone, Dim::kHidden,
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
using From = MetadataKey::From;

constexpr MetadataKey kKeys[] = {
    {"context_length", Kind::kUint32, When::kRequired, "max_position_embeddings"},
    {"embedding_length", Kind::kUint32, When::kRequired, "hidden_size"},
    {"block_count", Kind::kUint32, When::kRequired, "num_hidden_layers", 0, From::kLayerCount},
    {"feed_forward_length", Kind::kUint32, When::kRequired, "intermediate_size"},
    {"attention.head_count", Kind::kUint32, When::kRequired, "num_attention_heads"},
    {"attention.head_count_kv", Kind::kUint32, When::kRequired, "num_key_value_heads"},
    {"attention.layer_norm_rms_epsilon", Kind::kFloat, When::kRequired, "rms_norm_eps"},
    {"attention.key_length", Kind::kUint32, When::kRequired, "head_dim"},
    {"attention.value_length", Kind::kUint32, When::kRequired, "head_dim"},
    {"", Kind::kUint32, When::kRequired, "", 0, From::kFileType},
    {"attn_logit_softcapping", Kind::kFloat, When::kRequired, "attn_logit_softcapping"},
    {"final_logit_softcapping", Kind::kFloat, When::kRequired, "final_logit_softcapping"},
    {"attention.sliding_window", Kind::kUint32, When::kRequired, "sliding_window"},
};

}  // namespace

constexpr Architecture kGemma2 = {.hf_names = kNames,
                                  .gguf_name = "gemma2",
                                  .model_type = "gemma2",
                                  .tensors = kTensors,
                                  .keys = kKeys,
                                  .has_shared_keys = false,
                                  .forward = {.activation = ForwardRules::Activation::kGeluTanh,
                                              .windowed = ForwardRules::Windowed::kEvenLayers,
                                              .scales_embeddings = true,
                                              .query_pre_attn_scalar = 256,
                                              .attention_softcap = 50,
                                              .final_softcap = 30}};

}  // namespace quantized
