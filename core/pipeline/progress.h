// Counts finished layers, or tensors where a model has no layers, and tells the sink. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "core/base/job_context.h"
#include "core/pipeline/plan.h"

namespace quantized {

class LayerProgress {
 public:
  // `done` has a flag for each tensor that is there already. Tells the sink where things stand.
  LayerProgress(const QuantizePlan& plan, std::span<const uint8_t> done, ProgressSink& sink);

  void AddBytes(uint64_t bytes);
  void FinishTensor(size_t tensor);

 private:
  void Tell();

  ProgressSink& sink_;
  uint64_t total_ = 0;
  const char* unit_;
  // Which group (a layer; a tensor) each tensor belongs to; kNoGroup counts nowhere.
  std::vector<size_t> group_of_;
  std::vector<std::atomic<uint64_t>> missing_;  // unfinished tensors of each group
  std::atomic<uint64_t> groups_done_{0};
  std::atomic<uint64_t> bytes_written_{0};
};

}  // namespace quantized
