// The sizes of one model, from its configuration.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/hf/config.h"

namespace quantized {

struct Geometry {
  uint32_t layers = 0;
  uint32_t hidden = 0;
  uint32_t feed_forward = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;    // `heads` where the configuration does not say
  uint32_t head_dim = 0;    // hidden / heads where the configuration does not say
  uint32_t vocabulary = 0;  // 0 where the configuration does not say
  // Of a model with experts; 0 where the configuration does not say.
  uint32_t experts = 0;
  uint32_t expert_feed_forward = 0;  // feed_forward where the configuration does not say

  uint64_t Size(Dim dim) const;  // 0 for kNone and an unknown vocabulary
};

// Errors: kValidationFailed when a size is missing, 0 or no whole number, or when heads do not
// divide what is split among them.
absl::StatusOr<Geometry> GeometryOf(const HfConfig& config);

}  // namespace quantized
