// Phi-3, 3.5 and 4: query, key and value are one matrix, gate and up another; models for long texts
// stretch each rotary frequency by a factor of its own.
#include "core/arch/architecture.h"

namespace quantized {
namespace {

constexpr std::string_view kNames[] = {"Phi3ForCausalLM"};

constexpr TensorRule kTensors[] = {
    {"embed_tokens", "token_embd", Dim::kVocabulary, Dim::kHidden},
    {"lm_head", "output", Dim::kVocabulary, Dim::kHidden, Transform::kNone, /*optional=*/true},
    {"norm", "output_norm", Dim::kNone, Dim::kHidden},
    {"layers.{i}.input_layernorm", "blk.{i}.attn_norm", Dim::kNone, Dim::kHidden},
    {"layers.{i}.self_attn.qkv_proj", "blk.{i}.attn_qkv", Dim::kQueryKeyValue, Dim::kHidden},
    {"layers.{i}.self_attn.o_proj", "blk.{i}.attn_output", Dim::kHidden, Dim::kQuery},
    {"layers.{i}.post_attention_layernorm", "blk.{i}.ffn_norm", Dim::kNone, Dim::kHidden},
    {"layers.{i}.mlp.gate_up_proj", "blk.{i}.ffn_up", Dim::kGateAndUp, Dim::kHidden},
    {"layers.{i}.mlp.down_proj", "blk.{i}.ffn_down", Dim::kHidden, Dim::kFeedForward},
};

using Kind = MetadataKey::Kind;
using When = MetadataKey::When;
using From = MetadataKey::From;

constexpr MetadataKey kKeys[] = {
    {"context_length", Kind::kUint32, When::kRequired, "max_position_embeddings"},
    {"rope.scaling.original_context_length", Kind::kUint32, When::kRequired,
     "original_max_position_embeddings", 0, From::kRope},
    {"embedding_length", Kind::kUint32, When::kRequired, "hidden_size"},
    {"feed_forward_length", Kind::kUint32, When::kRequired, "intermediate_size"},
    {"block_count", Kind::kUint32, When::kRequired, "num_hidden_layers", 0, From::kLayerCount},
    {"attention.head_count", Kind::kUint32, When::kRequired, "num_attention_heads"},
    {"attention.head_count_kv", Kind::kUint32, When::kRequired, "num_key_value_heads"},
    {"attention.layer_norm_rms_epsilon", Kind::kFloat, When::kRequired, "rms_norm_eps"},
    {"rope.dimension_count", Kind::kUint32, When::kRequired, "", 0, From::kRotaryDim},
    {"rope.freq_base", Kind::kFloat, When::kRequired, "", 0, From::kRopeTheta},
    {"", Kind::kUint32, When::kRequired, "", 0, From::kFileType},
    // 0 tells Phi-4 from the others.
    {"attention.sliding_window", Kind::kUint32, When::kNullable, "sliding_window", 0},
};

}  // namespace

constexpr Architecture kPhi3 = {.hf_names = kNames,
                                .gguf_name = "phi3",
                                .model_type = "phi3",
                                .tensors = kTensors,
                                .keys = kKeys,
                                .has_shared_keys = false,
                                .writes_long_rope = true};

}  // namespace quantized
