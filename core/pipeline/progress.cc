#include "core/pipeline/progress.h"

#include <limits>

namespace quantized {
namespace {

constexpr size_t kNoGroup = std::numeric_limits<size_t>::max();

// The groups of all tensors; the number of groups in `count`.
std::vector<size_t> Groups(const QuantizePlan& plan, size_t* count) {
  std::vector<size_t> group_of;
  std::map<int64_t, size_t> layers;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const int64_t layer = plan.tensors[i].layer;
    if (plan.layers == 0) {
      group_of.push_back(i);
    } else if (layer < 0) {
      group_of.push_back(kNoGroup);
    } else {
      group_of.push_back(layers.try_emplace(layer, layers.size()).first->second);
    }
  }
  *count = plan.layers == 0 ? plan.tensors.size() : layers.size();
  return group_of;
}

}  // namespace

LayerProgress::LayerProgress(const QuantizePlan& plan, std::span<const uint8_t> done,
                             ProgressSink& sink)
    : sink_(sink),
      unit_(plan.layers == 0 ? "tensors" : "layers"),
      group_of_(Groups(plan, &total_)),
      missing_(total_) {
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    if (done[i]) bytes_written_ += plan.tensors[i].size_bytes;
    if (group_of_[i] != kNoGroup && !done[i]) ++missing_[group_of_[i]];
  }
  for (const auto& missing : missing_) groups_done_ += missing == 0 ? 1 : 0;
  Tell();
}

void LayerProgress::AddBytes(uint64_t bytes) {
  bytes_written_ += bytes;
  Tell();
}

void LayerProgress::FinishTensor(size_t tensor) {
  const size_t group = group_of_[tensor];
  if (group != kNoGroup && missing_[group].fetch_sub(1) == 1) ++groups_done_;
  Tell();
}

void LayerProgress::Tell() { sink_.OnProgress(groups_done_, total_, unit_, bytes_written_); }

}  // namespace quantized
