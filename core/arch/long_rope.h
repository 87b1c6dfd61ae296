// Rotary embeddings for texts longer than those of training ("longrope", once "su"): a factor for
// each frequency, one list for short texts and one for long ones, and a factor for the scores of
// attention. Formula: docs/design/hf-to-gguf.md, "Long rope".
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/hf/config.h"

namespace quantized {

struct LongRope {
  float attention_factor = 1;
  // RotaryDim / 2 of each, written as rope_factors_long.weight and rope_factors_short.weight, F32.
  std::vector<float> long_factors, short_factors;
};

// How many dimensions of a head are rotated: hidden size * partial_rotary_factor / heads, both
// steps rounded down. Errors: kValidationFailed when a size is missing, no number, or out of range.
absl::StatusOr<uint32_t> RotaryDim(const HfConfig& config);

// Nothing where the rope block has no long_factor. Errors: kValidationFailed for another rope type
// than longrope, su and yarn, lists of another length, and numbers that are none or not above 0.
absl::StatusOr<std::optional<LongRope>> LongRopeOf(const HfConfig& config);

}  // namespace quantized
