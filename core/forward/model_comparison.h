// How far a quantized model's predictions are from its source's: both are run on the same windows
// and their logits compared row by row. What the figures mean, and why these:
// docs/design/quality-report.md.
#pragma once

#include <array>
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

// Counts of values by size, in bins that are equally wide on a logarithmic axis.
struct LogHistogram {
  static constexpr int kFirstExponent = -7, kLastExponent = 2, kBinsPerDecade = 5;
  static constexpr size_t kBins = (kLastExponent - kFirstExponent) * kBinsPerDecade;

  // The lower edge of a bin; of bin kBins the upper edge of the last one.
  static double Edge(size_t bin);
  // `value` is not negative.
  void Add(double value);

  uint64_t below = 0, above = 0;  // less than the first edge; from the last one on
  std::array<uint64_t, kBins> bins = {};
};

struct ModelComparison {
  uint64_t tokens = 0;  // scored: all of each window but its first
  double source_perplexity = 0, perplexity = 0;
  double ratio_standard_error = 0;  // of perplexity_ratio()
  double kl_divergence = 0;         // mean of KL(source || quantized) over tokens, in nats
  double kl_standard_error = 0;     // of that mean
  double top1_agreement = 0;        // share of tokens whose likeliest next token is the same
  // Of the tokens' divergences, each a token's: the smallest that so many are not above.
  struct Percentiles {
    double median = 0, p90 = 0, p99 = 0, p99_9 = 0, maximum = 0;
  } kl_percentiles;
  LogHistogram kl_histogram;
  struct Window {
    double perplexity_ratio = 0, kl_divergence = 0;
  };
  std::vector<Window> windows;  // in order

  double perplexity_ratio() const { return perplexity / source_perplexity; }
};

// Whether a model can predict such windows: what CompareModels would find out of one side after
// much work. `windows` are not empty. Errors: those of OutputHead; kInvalidArgument for windows of
// one id, which leave nothing to predict; kValidationFailed for an id beyond the rows of embedding
// or head.
absl::Status CheckPredictable(const ForwardConfig& config, const TensorSource& source,
                              std::span<const std::vector<uint32_t>> windows);

// `windows` are equally long, as CheckPredictable accepts them. Both sources have the tensors of
// `config`; where one has a smaller vocabulary, which has to hold all ids, predictions are those
// among the tokens of both. Standard errors take tokens as independent. Holds 8 bytes per token
// besides the walks. Tells the context's progress: layers done of both models together ("layers").
// Errors: those of LayerWalk and OutputHead; kValidationFailed where logits are not finite.
absl::StatusOr<ModelComparison> CompareModels(const ForwardConfig& config,
                                              const HfConfig& hf_config, const TensorSource& source,
                                              const TensorSource& quantized,
                                              std::span<const std::vector<uint32_t>> windows,
                                              const WalkOptions& options, JobContext& context);

}  // namespace quantized
