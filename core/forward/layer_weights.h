// The weights of one layer as floats, read when the layer's turn comes: attention, then
// feed-forward, where a mixture's experts are read one by one. A dense feed-forward is a mixture of
// one expert that takes every token with weight 1.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/forward/forward_config.h"
#include "core/forward/tensor_source.h"
#include "core/tensor/matrix.h"

namespace quantized {

// y = x · weightᵀ + bias.
struct Linear {
  std::string module;       // as the checkpoint spells it: "model.layers.0.self_attn.q_proj"
  std::string gguf_name;    // "blk.0.attn_q.weight": the role; of an expert, the stacked tensor
  Matrix weight;            // [out, in]
  std::vector<float> bias;  // [out] or empty
};

// A norm's factors, with the 1 that some families leave out already added.
struct Norm {
  std::string module;
  std::vector<float> factors;  // empty: this family has no such norm
  float offset = 0;            // what the checkpoint's values lack: 0 or 1
};

struct AttentionWeights {
  Norm input_norm, query_norm, key_norm;
  Norm output_norm;         // of attention's output, before it is added
  std::vector<Linear> qkv;  // query, key, value; or one whose rows are those of the three
  Linear output;
};

struct ExpertWeights {
  std::vector<Linear> gate_up;  // gate and up; or one whose rows are those of both
  Linear down;
};

struct FeedForwardWeights {
  Norm input_norm, output_norm;
  Linear router;         // of a mixture, [experts, hidden]; empty in a dense layer
  uint32_t experts = 1;  // 1 in a dense layer
  uint32_t width = 0;    // of gate and of up
  bool is_mixture() const { return !router.weight.empty(); }
};

// Whether the feed-forward part of each layer is a mixture of experts, and how wide gate and up are
// then (of one expert) or otherwise.
bool IsMixture(const ForwardConfig& config);
uint32_t FeedForwardWidth(const ForwardConfig& config);

// Errors: kValidationFailed for a tensor that is missing or has another shape than the
// configuration gives it, kIo.
absl::StatusOr<AttentionWeights> LoadAttention(const ForwardConfig& config,
                                               const TensorSource& source, uint32_t layer);
absl::StatusOr<FeedForwardWeights> LoadFeedForward(const ForwardConfig& config,
                                                   const TensorSource& source, uint32_t layer);
absl::StatusOr<ExpertWeights> LoadExpert(const ForwardConfig& config, const TensorSource& source,
                                         uint32_t layer, uint32_t expert);
// The norm before the output head.
absl::StatusOr<Norm> LoadFinalNorm(const ForwardConfig& config, const TensorSource& source);

// The tensor of a rule, such as "token_embd". Null where the family or the checkpoint has none.
const TensorSource::Tensor* FindByRole(const ForwardConfig& config, const TensorSource& source,
                                       std::string_view gguf_name);

}  // namespace quantized
