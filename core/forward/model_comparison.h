// How far a quantized model's predictions are from its source's: both are run on the same windows,
// layer by layer beside each other, and their logits compared row by row.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/forward/forward_config.h"
#include "core/forward/layer_walk.h"
#include "core/forward/tensor_source.h"
#include "core/hf/config.h"

namespace quantized {

struct ModelComparison {
  uint64_t tokens = 0;  // scored: all of each window but its first
  double source_perplexity = 0, perplexity = 0;
  double kl_divergence = 0;   // mean of KL(source || quantized) over tokens, in nats
  double top1_agreement = 0;  // share of tokens whose likeliest next token is the same
  double perplexity_ratio() const { return perplexity / source_perplexity; }
};

// `windows` are equally long, of two ids at least. Both sources have the tensors of `config`.
// Errors: those of LayerWalk and OutputHead; kValidationFailed where logits are not finite.
absl::StatusOr<ModelComparison> CompareModels(const ForwardConfig& config,
                                              const HfConfig& hf_config, const TensorSource& source,
                                              const TensorSource& quantized,
                                              std::span<const std::vector<uint32_t>> windows,
                                              const WalkOptions& options, JobContext& context);

}  // namespace quantized
