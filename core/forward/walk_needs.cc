#include "core/forward/walk_needs.h"

#include <algorithm>

#include "core/forward/layer_compute.h"
#include "core/forward/layer_weights.h"
#include "kernels/attention/attention.h"

namespace quantized {
namespace {

// Stores of activations as they come to lie beside each other.
class Stores {
 public:
  explicit Stores(const WalkOptions& options) : options_(options) {}

  Stores& Add(uint64_t rows, uint64_t width) {
    const uint64_t bytes = rows * width * sizeof(float);
    (GoToDisk(bytes, memory_bytes_, options_) ? disk_bytes_ : memory_bytes_) += bytes;
    return *this;
  }
  // One that may have fewer rows, and then lies in memory though the whole would not.
  Stores& AddAtMost(uint64_t rows, uint64_t width) {
    const uint64_t before = disk_bytes_;
    Add(rows, width);
    if (disk_bytes_ > before) memory_bytes_ = options_.memory_budget_bytes;
    return *this;
  }
  uint64_t memory_bytes() const { return memory_bytes_; }
  uint64_t disk_bytes() const { return disk_bytes_; }

 private:
  const WalkOptions& options_;
  uint64_t memory_bytes_ = 0, disk_bytes_ = 0;
};

// Floats for each row of a window: of a slot, and of the step that a thread is at.
struct RowFloats {
  uint64_t slot, step;
};

RowFloats RowFloatsOf(const ForwardConfig& config) {
  const uint64_t hidden = config.geometry.hidden, width = FeedForwardWidth(config);
  const uint64_t inner = std::max(config.query_size(), width);
  const uint64_t qkv = config.query_size() + 2 * config.key_size();
  // Attend; GateAndUp; an inner that was kept, with x and y that it is added to; RouteAll.
  return {.slot = hidden + inner,
          .step = std::max({qkv, 2 * width, inner + 2 * hidden, hidden + config.experts})};
}

// What attention takes besides, of a window; sliding windows take less.
uint64_t AttentionBytes(const ForwardConfig& config, uint64_t window_length) {
  return kernels::AttentionSimdBytes({.tokens = window_length,
                                      .heads = config.geometry.heads,
                                      .kv_heads = config.geometry.kv_heads,
                                      .head_dim = config.geometry.head_dim,
                                      .window = 0,
                                      .scale = 1});
}

}  // namespace

bool GoToDisk(uint64_t bytes, uint64_t held_bytes, const WalkOptions& options) {
  return bytes + held_bytes > options.memory_budget_bytes;
}

WalkNeeds NeedsOf(const ForwardConfig& config, const WalkSize& size, const WalkOptions& options) {
  const uint64_t tokens = size.tokens(), hidden = config.geometry.hidden;
  const bool is_mixture = IsMixture(config);
  Stores attention(options);
  attention.Add(tokens, hidden);
  Stores feed_forward = attention;
  if (is_mixture) feed_forward.Add(tokens, hidden);
  if (size.changes_weights) {
    attention.Add(tokens, config.query_size());
    // Statistics of all tokens need no store: the expert's own tokens go through a second time.
    if (!is_mixture || !options.all_tokens_to_experts) {
      const uint64_t width = FeedForwardWidth(config);
      is_mixture ? feed_forward.AddAtMost(tokens, width) : feed_forward.Add(tokens, width);
    }
  }

  const uint64_t slots = std::min<uint64_t>(ProcessorSlots(size.threads), size.windows);
  const uint64_t threads = std::min<uint64_t>(size.threads, slots);
  const RowFloats floats = RowFloatsOf(config);
  const uint64_t working =
      size.window_length * (slots * floats.slot + threads * floats.step) * sizeof(float) +
      threads * AttentionBytes(config, size.window_length);
  // Numbers of rows, and of a mixture which expert each token goes to; twice, as lists grow.
  const uint64_t numbers = tokens * 2 * sizeof(uint32_t);
  const uint64_t routes =
      is_mixture ? tokens * config.experts_per_token * 3 * (sizeof(uint32_t) + sizeof(float)) : 0;
  return {.memory_bytes = std::max(attention.memory_bytes(), feed_forward.memory_bytes()) +
                          working + numbers + routes,
          .disk_bytes = std::max(attention.disk_bytes(), feed_forward.disk_bytes())};
}

}  // namespace quantized
