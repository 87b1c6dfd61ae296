// Model architectures as data: how the tensors and fields of a Hugging Face checkpoint become those
// of a GGUF file. One file per architecture holds a constexpr Architecture; the table below lists
// them. Rules: docs/design/hf-to-gguf.md.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace quantized {

// What is done to a tensor's values on the way.
enum class Transform {
  kNone,
  // Rows of each head from rotate-half order to interleaved pairs: [heads, 2, d/2] → [heads, d/2,
  // 2].
  kInterleaveQuery,
  kInterleaveKey,  // the same with the key-value heads
  // value + 1, of weights only: the checkpoint keeps norms as distances from one.
  kAddOne,
  // Rows beyond the tokenizer's vocabulary are left out.
  kCutToVocabulary,
};

// A dimension of a tensor, as the configuration gives it.
enum class Dim {
  kNone,  // the tensor has no such dimension
  kVocabulary,
  kHidden,
  kFeedForward,
  kQuery,              // heads * head_dim
  kKeyValue,           // key-value heads * head_dim
  kHead,               // head_dim
  kQueryKeyValue,      // query, key and value one below another
  kGateAndUp,          // two feed-forward sizes: gate above up
  kExperts,            // how many experts a layer has
  kExpertFeedForward,  // of one expert
};

// A module's weight, [rows, cols] or [cols] where rows is kNone, and its bias, [rows]. "{i}" stands
// for the layer's number. With "{e}", an expert's number, in `hf` the matrices of a layer's experts
// become one tensor [experts, rows, cols]; those of a layer stand together, in the order of the
// rules.
struct TensorRule {
  std::string_view hf;    // without ".weight" or ".bias" and without a leading "model."
  std::string_view gguf;  // empty: read by nobody, left out
  Dim rows, cols;
  Transform transform = Transform::kNone;
  bool optional = false;  // may be missing: a tied output head
};

// A metadata key and the configuration's field that it comes from.
struct MetadataKey {
  enum class Kind { kUint32, kFloat };
  enum class From {
    kField,
    kHeadDim,    // head_dim, else hidden size / heads
    kRopeTheta,  // of the rope block, for full attention
    kRope,       // `field` of the rope block
    kLayerCount,
    kRotaryDim,  // the part of a head that is rotated
    kFileType,   // general.file_type stands here; `key` is empty
  };
  enum class When {
    kPresent,   // written where the field holds a number
    kTruthy,    // … other than 0
    kRequired,  // a missing field is an error
    kDefault,   // a missing field counts as `fallback`
    kNullable,  // … and a null one, too
    // As kRequired, but not written where `sliding_window_pattern` is 1: every layer sees all.
    kUnlessEveryLayerIsGlobal,
  };
  std::string_view key;  // after "ARCHITECTURE."
  Kind kind;
  When when = When::kPresent;
  std::string_view field = "";
  double fallback = 0;
  From from = From::kField;
};

// What running the model needs to know beyond its tensors, which tell themselves whether there are
// norms of query and key, norms after attention and feed-forward, fused projections or experts.
struct ForwardRules {
  enum class Activation { kSilu, kGeluTanh };
  // The layers whose queries see only the last `sliding_window` positions; a `layer_types` in
  // config.json says it for each layer and comes first.
  enum class Windowed {
    kEveryLayer,
    kFromMaxWindowLayers,  // on, where `use_sliding_window` is true
    kEvenLayers,
    kPattern,  // all but each `sliding_window_pattern`-th
  };
  Activation activation = Activation::kSilu;
  Windowed windowed = Windowed::kEveryLayer;
  bool scales_embeddings = false;         // by the square root of the hidden size
  double query_pre_attn_scalar = 0;       // its default; 0: scores are scaled by the head's size
  double attention_softcap = 0;           // its default; 0: none
  double final_softcap = 0;               // of logits, likewise
  bool normalizes_expert_weights = true;  // where `norm_topk_prob` does not say
  // AWQ may move scale from attention's inputs into the norm before it (docs/design/awq.md).
  bool scales_attention_inputs = true;
};

struct Architecture {
  std::span<const std::string_view> hf_names;  // as in config.json's `architectures`
  std::string_view gguf_name;
  std::string_view model_type;  // in config.json: what names the configuration's class
  std::span<const TensorRule> tensors;
  std::span<const MetadataKey> keys;  // written after those that architectures share
  // Without them `keys` are all there are, and say where general.file_type stands.
  bool has_shared_keys = true;
  // Removed from tensor names wherever it stands (the wrapper's name for its text part).
  std::string_view removed_from_names = "";
  // With rope type llama3 a generated tensor rope_freqs.weight comes first.
  bool writes_rope_freqs = false;
  // With factors for long texts two generated tensors, rope_factors_*.weight, and a key come first.
  bool writes_long_rope = false;
  // An embedding model says in modules.json how it pools; that becomes `pooling_type`.
  bool may_pool = false;
  // A mark in the model's name that means another kind of model, which is not converted.
  std::string_view refused_name = "";
  ForwardRules forward = {};
};

extern const Architecture kLlama;
extern const Architecture kMistral;
extern const Architecture kQwen2;
extern const Architecture kQwen3;
extern const Architecture kGemma3;
extern const Architecture kGemma2;
extern const Architecture kPhi3;
extern const Architecture kMixtral;
extern const Architecture kQwen3Moe;

// All rows, in the order in which messages and help list them.
std::span<const Architecture* const> AllArchitectures();
// Null where no row has this Hugging Face name.
const Architecture* FindArchitecture(std::string_view hf_name);

}  // namespace quantized
