// How far a decoded value may lie from the one that was encoded: a wide bound per type that every
// correct encoder keeps for any finite input. It catches a wrong encoder, decoder or row, not a
// poor one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/types/quant_type.h"

namespace quantized {

struct ExcessError {
  uint64_t col = 0;
  float found = 0, wanted = 0, allowed = 0;
};

// For values that were encoded without importance weights: with them, a value of no weight may land
// anywhere. The first value of the row `decoded` that lies too far from `values`, if any. Both have
// a whole number of the type's blocks.
std::optional<ExcessError> FindExcessError(kernels::TypeId type, std::span<const float> values,
                                           std::span<const float> decoded);

}  // namespace quantized
