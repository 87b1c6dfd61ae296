// What a walk (layer_walk.h) takes of memory and disk besides weights and statistics, known before
// it starts: by the same rule that puts its activations in memory or in files. Never less than what
// it comes to; of an expert's tokens all are counted. Functions may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/forward/forward_config.h"
#include "core/forward/layer_walk.h"

namespace quantized {

// What the needs depend on beside the model and the options.
struct WalkSize {
  uint64_t windows = 0, window_length = 0;
  size_t threads = 1;
  bool changes_weights = false;  // LayerVisitor::ChangesWeights

  uint64_t tokens() const { return windows * window_length; }
};

struct WalkNeeds {
  uint64_t memory_bytes = 0;  // what lies there of all tokens, and what threads work on
  uint64_t disk_bytes = 0;    // in WalkOptions::spill_folder
};

// Whether activations of `bytes` go to a file while others of `held_bytes` are in memory.
bool GoToDisk(uint64_t bytes, uint64_t held_bytes, const WalkOptions& options);

WalkNeeds NeedsOf(const ForwardConfig& config, const WalkSize& size, const WalkOptions& options);

}  // namespace quantized
