// Runs token windows through a model, one layer at a time, and shows a visitor what enters each
// linear. Only one layer's weights are in memory at once (of a mixture only one expert's), and the
// activations between layers; where these exceed the budget they lie in a file. How the passes of
// a layer follow each other: docs/design/forward.md, "The walk".
// Where a layer's steps run is a LayerCompute's choice. Results depend neither on the number of
// threads nor on the budget. Used from one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/forward/activation_store.h"
#include "core/forward/forward_config.h"
#include "core/forward/input_statistics.h"
#include "core/forward/layer_compute.h"
#include "core/forward/layer_weights.h"
#include "core/forward/rotary_table.h"
#include "core/forward/tensor_source.h"

namespace quantized {

// Where activations enter linears.
enum class Site {
  kAttentionInput,    // query, key, value
  kAttentionOutput,   // the output projection
  kFeedForwardInput,  // gate and up
  kDownInput,         // down
};

struct SiteInputs {
  uint32_t layer;
  Site site;
  uint32_t expert;                    // 0 in a dense layer
  const InputStatistics& statistics;  // of the kind that the visitor wants
};

// Looks at a layer while it runs, and may change its weights.
class LayerVisitor {
 public:
  virtual ~LayerVisitor() = default;

  virtual StatisticsKind Wants(Site /*site*/) const { return StatisticsKind::kNone; }

  // True: OnInputs changes the weights, and the inputs of each site are those that come out of what
  // it left of the sites before. Costs a store of the inner activations.
  virtual bool ChangesWeights() const { return false; }

  // True: attention and each expert are first run as they are, and shown with the Gram matrices of
  // both their sites (over a sample, WalkOptions), before any OnInputs. What the calls change must
  // leave what the block computes as it was, but for rounding.
  virtual bool ObservesBlocks() const { return false; }
  virtual absl::Status OnAttention(uint32_t /*layer*/, const InputStatistics& /*input*/,
                                   const InputStatistics& /*output*/,
                                   AttentionWeights& /*weights*/) {
    return absl::OkStatus();
  }
  // Before the experts of a mixture, each of which `load` reads: the inputs that they and the
  // router share. May change the norm before them and the router; gives what the columns of all
  // experts' gate and up are multiplied by, or nothing.
  using LoadExpertOf = std::function<absl::StatusOr<ExpertWeights>(uint32_t expert)>;
  virtual absl::StatusOr<std::vector<float>> OnMixture(const InputStatistics& /*input*/,
                                                       FeedForwardWeights& /*shared*/,
                                                       const LoadExpertOf& /*load*/) {
    return std::vector<float>();
  }
  virtual absl::Status OnExpert(uint32_t /*layer*/, uint32_t /*expert*/,
                                const InputStatistics& /*input*/, const InputStatistics& /*down*/,
                                FeedForwardWeights& /*shared*/, ExpertWeights& /*weights*/) {
    return absl::OkStatus();
  }

  // The statistics of a site over all tokens, and the linears that take these inputs.
  virtual absl::Status OnInputs(const SiteInputs& /*inputs*/,
                                std::span<Linear* const> /*linears*/) {
    return absl::OkStatus();
  }

  // The weights with which the layer's outputs were computed, without its linears.
  virtual absl::Status OnLayerDone(uint32_t /*layer*/, const AttentionWeights& /*attention*/,
                                   const FeedForwardWeights& /*feed_forward*/) {
    return absl::OkStatus();
  }
};

struct WalkOptions {
  uint64_t memory_budget_bytes = uint64_t{1} << 30;  // for activations of all tokens
  std::filesystem::path spill_folder;                // for what exceeds it
  // Statistics of a mixture's experts are of all tokens, not of those that the router sends there.
  bool all_tokens_to_experts = false;
  // Tokens that a block is shown with where the visitor observes it, in whole windows; all where
  // there are no more.
  uint64_t observed_tokens = 8192;
  // Where layers run, made for windows at least as long; must outlive the walk, and serves one call
  // of RunLayer at a time. Null: the processor.
  LayerCompute* compute = nullptr;
};

class LayerWalk {
 public:
  // Embeds the windows, which are equally long and not empty, with the embedding of `source`. The
  // arguments must outlive the result. Errors: those of MakeRotaryTable, ActivationStore and
  // TensorSource; kValidationFailed for an id beyond the vocabulary; those of CheckCompute, where
  // the options name a device.
  static absl::StatusOr<std::unique_ptr<LayerWalk>> Start(
      const ForwardConfig& config, const HfConfig& hf_config, const TensorSource& source,
      std::span<const std::vector<uint32_t>> windows, WalkOptions options, JobContext& context);

  // Replaces hidden() by what layer `layer` of `source` makes of it. Errors: those of the visitor
  // and of LoadAttention and its like; kCancelled.
  absl::Status RunLayer(uint32_t layer, const TensorSource& source, LayerVisitor& visitor);

  // [tokens, hidden]: what enters the next layer, window after window.
  const ActivationStore& hidden() const { return hidden_; }
  ActivationStore& hidden() { return hidden_; }
  size_t windows() const { return windows_; }
  size_t window_length() const { return window_length_; }

 private:
  struct ExpertRows;
  struct Half;

  LayerWalk(const ForwardConfig& config, WalkOptions options, JobContext& context,
            ActivationStore hidden, size_t windows, size_t window_length)
      : config_(config),
        options_(std::move(options)),
        context_(context),
        processor_(options_.compute == nullptr ? MakeProcessorCompute(config, context.threads)
                                               : nullptr),
        compute_(processor_ != nullptr ? *processor_ : *options_.compute),
        hidden_(std::move(hidden)),
        windows_(windows),
        window_length_(window_length) {}

  absl::Status Embed(const TensorSource& source, std::span<const std::vector<uint32_t>> windows);
  // `beside`: another store that is there at the same time, with hidden_; or null.
  absl::StatusOr<ActivationStore> NewStore(uint64_t rows, uint64_t width,
                                           const ActivationStore* beside) const;
  const RotaryTable& RotationOf(uint32_t layer) const {
    return config_.layers[layer].local_rotation ? *local_rotation_ : rotation_;
  }

  // Calls step(row numbers, slot) for each piece of `rows` of at most a window, some at once, then
  // after(slots in use) for each batch of them.
  using Step = std::function<absl::Status(std::span<const uint32_t> rows, size_t slot)>;
  using After = std::function<absl::Status(size_t slots)>;
  absl::Status ForEachBatch(std::span<const uint32_t> rows, const Step& step, const After& after);
  absl::Status ForEachBatch(std::span<const uint32_t> rows, const Step& step);
  // Evenly spread windows of `rows` that hold WalkOptions::observed_tokens.
  std::vector<uint32_t> ObservedRows(std::span<const uint32_t> rows) const;

  absl::Status RunAttention(uint32_t layer, LayerVisitor& visitor, AttentionWeights& weights);
  absl::Status RunFeedForward(uint32_t layer, const TensorSource& source, LayerVisitor& visitor,
                              FeedForwardWeights& shared);
  absl::Status RunExpert(uint32_t layer, uint32_t expert, const ExpertRows& taken,
                         LayerVisitor& visitor, FeedForwardWeights& shared, ExpertWeights& weights,
                         ActivationStore* mixed);
  absl::StatusOr<InputStatistics> ObserveMixture(const FeedForwardWeights& shared);
  absl::Status RunHalf(const Half& half, LayerVisitor& visitor);
  absl::Status MakeInput(std::span<const uint32_t> rows, size_t slot);
  absl::Status AddOutput(const Half& half, std::span<const uint32_t> rows, const float* y);
  absl::StatusOr<std::vector<ExpertRows>> RouteAll(const FeedForwardWeights& shared);

  const ForwardConfig& config_;
  const WalkOptions options_;
  JobContext& context_;
  const std::unique_ptr<LayerCompute> processor_;  // where the options name no other
  LayerCompute& compute_;
  RotaryTable rotation_;
  std::optional<RotaryTable> local_rotation_;
  ActivationStore hidden_;
  const size_t windows_, window_length_;
  std::vector<uint32_t> all_rows_;
};

}  // namespace quantized
