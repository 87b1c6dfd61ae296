// Quantizes the linears of a model while it runs (core/forward/layer_walk.h): what GPTQ and AWQ do
// at each site of a layer, and in which order. Each linear is quantized under inputs that come out
// of what was quantized before it. docs/design/forward.md, "The walk"; docs/design/awq.md,
// "Folding".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/base/thread_pool.h"
#include "core/forward/layer_walk.h"
#include "core/packed/quantized_linear.h"
#include "core/quantize/awq_scale.h"
#include "core/quantize/gptq.h"
#include "core/tensor/matrix.h"

namespace quantized {

// How a linear came out.
struct ModuleReport {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  uint32_t layer = 0;
  uint64_t tokens = 0;  // that its statistics are of
  // GptqResult::relative_error; none where the statistics cannot tell: too few tokens reach the
  // linear, or sums are not finite.
  std::optional<double> relative_error;
  double damping = 0;    // 0: none was used
  bool rounded = false;  // to nearest, for want of statistics
  std::vector<std::string> notes;
};

// Takes what a layer is made of once it is quantized. Calls come from the walk's thread, those of a
// layer together, and the same ones in the same order in every run.
class QuantizedLayerSink {
 public:
  virtual ~QuantizedLayerSink() = default;
  // `linear` has the weight as decoded and the bias that belongs to it.
  virtual absl::Status OnModule(uint32_t layer, const Linear& linear,
                                const QuantizedLinear& quantized, ModuleReport report) = 0;
  // A tensor that stays in 16 bits but is not what it was: values as the checkpoint keeps them,
  // each exactly a float16. `name`: "model.layers.0.input_layernorm.weight".
  virtual absl::Status OnTensor(uint32_t layer, const std::string& name,
                                std::span<const float> values) = 0;
  virtual absl::Status OnLayerDone(uint32_t layer) = 0;
};

class GptqQuantizer : public LayerVisitor {
 public:
  // `sink` and `threads` must outlive *this.
  GptqQuantizer(const GptqOptions& options, QuantizedLayerSink& sink, ThreadPool& threads);

  StatisticsKind Wants(Site) const override { return StatisticsKind::kGram; }
  bool ChangesWeights() const override { return true; }
  absl::Status OnInputs(const SiteInputs& inputs, std::span<Linear* const> linears) override;
  absl::Status OnLayerDone(uint32_t layer, const AttentionWeights& attention,
                           const FeedForwardWeights& feed_forward) override;

 protected:
  QuantizedLayerSink& sink() { return sink_; }
  ThreadPool& threads() { return threads_; }
  const GptqOptions& options() const { return options_; }
  // Goes into the linear's report when it is quantized.
  void Note(const std::string& module, std::string note);
  void MoveNotes(const std::string& module, std::vector<std::string>& to);

 private:
  absl::Status Quantize(const SiteInputs& inputs, const GptqFactor* factor, Linear& linear);

  const GptqOptions options_;
  QuantizedLayerSink& sink_;
  ThreadPool& threads_;
  std::map<std::string, std::vector<std::string>> notes_;  // by module
};

struct AwqOptions {
  size_t group_size = 128;  // 0: a row is one group
  int grid = 20;
  bool duo_scaling = true;
  size_t search_rows = 512;  // AwqScaleOptions
  bool scale_value_to_output = true;
  // Codes by GPTQ in the scaled space; else clipped and rounded to nearest.
  bool gptq_codes = true;
  GptqOptions gptq;  // of the codes; group size, bits and symmetry are those of AWQ
};

std::string Describe(const AwqOptions& options);  // as that of GptqOptions

// AWQ (arXiv 2306.00978): before a block is quantized, scales that suit its weights and inputs are
// moved into what comes before: a norm, the value projection, the up projection. Where statistics
// or what they would make of a bias are not finite, the linears stay as they are, with a note.
class AwqQuantizer : public GptqQuantizer {
 public:
  // `config`, `sink` and `threads` must outlive *this.
  AwqQuantizer(const ForwardConfig& config, const AwqOptions& options, QuantizedLayerSink& sink,
               ThreadPool& threads);

  bool ObservesBlocks() const override { return true; }
  absl::Status OnAttention(uint32_t layer, const InputStatistics& input,
                           const InputStatistics& output, AttentionWeights& weights) override;
  absl::StatusOr<std::vector<float>> OnMixture(const InputStatistics& input,
                                               FeedForwardWeights& shared,
                                               const LoadExpertOf& load) override;
  absl::Status OnExpert(uint32_t layer, uint32_t expert, const InputStatistics& input,
                        const InputStatistics& down, FeedForwardWeights& shared,
                        ExpertWeights& weights) override;
  absl::Status OnInputs(const SiteInputs& inputs, std::span<Linear* const> linears) override;
  absl::Status OnLayerDone(uint32_t layer, const AttentionWeights& attention,
                           const FeedForwardWeights& feed_forward) override;

 private:
  absl::StatusOr<std::vector<float>> Search(std::span<const Linear* const> linears,
                                            const InputStatistics& inputs,
                                            std::vector<uint32_t> same_scale);
  absl::Status ScaleNorm(Norm& norm, const InputStatistics& inputs, std::vector<Linear>& linears);
  std::vector<float> DivideNorm(std::span<const float> scales, Norm& norm);
  AwqScaleOptions ScaleOptions() const;

  const ForwardConfig& config_;
  const AwqOptions awq_;
  bool mixture_is_finite_ = true;  // what OnMixture saw
  // Of the layer, as they are stored: norms and routers by name.
  std::map<std::string, std::vector<float>> changed_tensors_;
};

}  // namespace quantized
