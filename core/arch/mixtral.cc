// Mixtral: Mistral with several feed-forward parts, of which a router chooses. In a GGUF file it is
// `llama` with experts.
#include "core/arch/architecture.h"

namespace quantized {
namespace {

constexpr std::string_view kNames[] = {"MixtralForCausalLM"};

constexpr TensorRule kTensors[] = {
    {"embed_tokens", "token_embd", Dim::kVocabulary, Dim::kHidden},
    {"lm_head", "output", Dim::kVocabulary, Dim::kHidden, Transform::kNone, /*optional=*/true},
    {"norm", "output_norm", Dim::kNone, Dim::kHidden},
    {"layers.{i}.input_layernorm", "blk.{i}.attn_norm", Dim::kNone, Dim::kHidden},
    {"layers.{i}.self_attn.q_proj", "blk.{i}.attn_q", Dim::kQuery, Dim::kHidden,
     Transform::kInterleaveQuery},
    {"layers.{i}.self_attn.k_proj", "blk.{i}.attn_k", Dim::kKeyValue, Dim::kHidden,
     Transform::kInterleaveKey},
    {"layers.{i}.self_attn.v_proj", "blk.{i}.attn_v", Dim::kKeyValue, Dim::kHidden},
    {"layers.{i}.self_attn.o_proj", "blk.{i}.attn_output", Dim::kHidden, Dim::kQuery},
    {"layers.{i}.post_attention_layernorm", "blk.{i}.ffn_norm", Dim::kNone, Dim::kHidden},
    {"layers.{i}.block_sparse_moe.gate", "blk.{i}.ffn_gate_inp", Dim::kExperts, Dim::kHidden},
    {"layers.{i}.block_sparse_moe.experts.{e}.w1", "blk.{i}.ffn_gate_exps", Dim::kFeedForward,
     Dim::kHidden},
    {"layers.{i}.block_sparse_moe.experts.{e}.w2", "blk.{i}.ffn_down_exps", Dim::kHidden,
     Dim::kFeedForward},
    {"layers.{i}.block_sparse_moe.experts.{e}.w3", "blk.{i}.ffn_up_exps", Dim::kFeedForward,
     Dim::kHidden},
};

constexpr MetadataKey kKeys[] = {
    {"vocab_size", MetadataKey::Kind::kUint32, MetadataKey::When::kRequired, "vocab_size"},
    {"rope.dimension_count", MetadataKey::Kind::kUint32, MetadataKey::When::kRequired, "", 0,
     MetadataKey::From::kHeadDim},
};

}  // namespace

constexpr Architecture kMixtral = {.hf_names = kNames,
                                   .gguf_name = "llama",
                                   .model_type = "mixtral",
                                   .tensors = kTensors,
                                   .keys = kKeys,
                                   .removed_from_names = "text_model.",
                                   .writes_rope_freqs = true};

}  // namespace quantized
