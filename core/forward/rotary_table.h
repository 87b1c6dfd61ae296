// Cosines and sines by which queries and keys are rotated at each position (RoPE, arXiv
// 2104.09864), for the kinds that config.json's rope block names: default, linear, dynamic, llama3,
// yarn (arXiv 2309.00071), longrope (arXiv 2402.13753). Formulas: docs/design/forward.md,
// "Rotation".
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/arch/geometry.h"
#include "core/hf/config.h"
#include "core/tensor/matrix.h"

namespace quantized {

struct RotaryTable {
  uint32_t dim = 0;  // of each head, the first so many values rotate; even
  Matrix cos, sin;   // [positions, dim / 2]; the kind's attention factor is in them
};

// For positions 0 to `length` - 1 of one sequence. `local`: by the rope block of sliding attention.
// Errors: kValidationFailed for a rope block that lacks something or is out of range;
// kNotImplemented for another kind.
absl::StatusOr<RotaryTable> MakeRotaryTable(const HfConfig& config, const Geometry& geometry,
                                            bool local, uint32_t length);

}  // namespace quantized
