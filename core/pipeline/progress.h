// What a job says of its model and of how far it is.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/base/job_context.h"
#include "core/pipeline/plan.h"
#include "core/source/model_source.h"

namespace quantized {

// "Architecture: LlamaForCausalLM (30 layers)".
void TellArchitecture(const ModelSummary& summary, ProgressSink& sink);

// Counts finished layers, or tensors where a model has no layers, and tells the sink. A layer is
// finished when each level that is made of it has all its tensors. Thread-safe.
class LayerProgress {
 public:
  // An output that is made.
  struct Part {
    const QuantizePlan* plan;
    std::span<const uint8_t> done;  // a flag for each tensor that is there already
    size_t pass;                    // outputs of one pass over the model share their layers
  };

  // Tells the sink where things stand.
  LayerProgress(std::span<const Part> parts, ProgressSink& sink);

  void AddBytes(uint64_t bytes);
  void FinishTensor(size_t part, size_t tensor);
  // The part has failed: nothing waits for its tensors any more.
  void Drop(size_t part);

 private:
  struct PartState {
    // Which group (a layer, a tensor) each tensor belongs to; kNoGroup counts nowhere.
    std::vector<size_t> group_of;
    std::unique_ptr<std::atomic<bool>[]> finished;
  };

  size_t GroupOf(const Part& part, size_t tensor);
  void Finish(PartState& part, size_t tensor);
  void Tell();

  ProgressSink& sink_;
  const bool has_layers_;
  std::map<std::pair<size_t, int64_t>, size_t> groups_;  // by pass and layer
  std::vector<PartState> parts_;
  std::vector<std::atomic<uint64_t>> missing_;  // unfinished tensors of each group
  std::atomic<uint64_t> groups_done_{0};
  std::atomic<uint64_t> bytes_written_{0};
};

}  // namespace quantized
