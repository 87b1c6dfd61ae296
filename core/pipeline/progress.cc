#include "core/pipeline/progress.h"

#include <limits>

#include "core/base/str_cat.h"

namespace quantized {
namespace {

constexpr size_t kNoGroup = std::numeric_limits<size_t>::max();

}  // namespace

void TellArchitecture(const ModelSummary& summary, ProgressSink& sink) {
  sink.OnMessage(StrCat("Architecture: ", summary.architecture, " (", summary.num_layers,
                        summary.num_layers == 1 ? " layer)" : " layers)"));
}

LayerProgress::LayerProgress(std::span<const Part> parts, ProgressSink& sink)
    : sink_(sink), has_layers_(!parts.empty() && parts[0].plan->layers > 0) {
  for (const Part& part : parts) {
    PartState state;
    state.finished = std::make_unique<std::atomic<bool>[]>(part.plan->tensors.size());
    for (size_t i = 0; i < part.plan->tensors.size(); ++i) {
      state.group_of.push_back(GroupOf(part, i));
    }
    parts_.push_back(std::move(state));
  }
  missing_ = std::vector<std::atomic<uint64_t>>(groups_.size());
  for (const PartState& part : parts_) {
    for (const size_t group : part.group_of) {
      if (group != kNoGroup) ++missing_[group];
    }
  }
  for (size_t p = 0; p < parts.size(); ++p) {
    for (size_t i = 0; i < parts[p].done.size(); ++i) {
      if (parts[p].done[i] == 0) continue;
      bytes_written_ += parts[p].plan->tensors[i].size_bytes;
      Finish(parts_[p], i);
    }
  }
  Tell();
}

size_t LayerProgress::GroupOf(const Part& part, size_t tensor) {
  const OutputTensor& planned = part.plan->tensors[tensor];
  // Where there are no layers each tensor of the source is a group.
  const int64_t key = has_layers_ ? planned.layer : static_cast<int64_t>(planned.source);
  if (key < 0) return kNoGroup;
  return groups_.try_emplace({part.pass, key}, groups_.size()).first->second;
}

void LayerProgress::AddBytes(uint64_t bytes) {
  bytes_written_ += bytes;
  Tell();
}

void LayerProgress::FinishTensor(size_t part, size_t tensor) {
  Finish(parts_[part], tensor);
  Tell();
}

void LayerProgress::Drop(size_t part) {
  for (size_t i = 0; i < parts_[part].group_of.size(); ++i) Finish(parts_[part], i);
  Tell();
}

void LayerProgress::Finish(PartState& part, size_t tensor) {
  if (part.finished[tensor].exchange(true)) return;
  const size_t group = part.group_of[tensor];
  if (group != kNoGroup && missing_[group].fetch_sub(1) == 1) ++groups_done_;
}

void LayerProgress::Tell() {
  sink_.OnProgress(groups_done_, groups_.size(), has_layers_ ? "layers" : "tensors",
                   bytes_written_);
}

}  // namespace quantized
