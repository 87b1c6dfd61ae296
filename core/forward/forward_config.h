// The numbers that a forward pass of one model needs, out of its configuration and its row in
// core/arch. What each field means, and where families differ: docs/design/forward.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/arch/geometry.h"
#include "core/hf/config.h"

namespace quantized {

struct ForwardConfig {
  const Architecture* architecture = nullptr;
  Geometry geometry;
  float norm_epsilon = 0;
  float embedding_scale = 1;
  float attention_scale = 0;
  float attention_softcap = 0, final_softcap = 0;  // 0: none
  struct Layer {
    uint32_t window = 0;          // positions that a query sees, itself included; 0: all before it
    bool local_rotation = false;  // rotates by the rope block for sliding attention
  };
  std::vector<Layer> layers;
  // Mixtures of experts; `experts` is 0 where there are none.
  uint32_t experts = 0, experts_per_token = 0;
  uint32_t expert_feed_forward = 0;  // width of one expert
  bool normalizes_expert_weights = true;

  uint64_t query_size() const { return uint64_t{geometry.heads} * geometry.head_dim; }
  uint64_t key_size() const { return uint64_t{geometry.kv_heads} * geometry.head_dim; }
};

// Errors: kValidationFailed for a field that is missing, of another type or out of range;
// kNotImplemented for what the engine does not compute (another activation).
absl::StatusOr<ForwardConfig> ForwardConfigOf(const Architecture& architecture,
                                              const HfConfig& config);

}  // namespace quantized
