// Values of a checkpoint's tensor as float.
#pragma once

#include <cstddef>

#include "core/tensor/dtype.h"

namespace quantized {

// Decodes `count` elements at `in` (unaligned) to `out`. Exact where float holds the value; others
// are rounded once to nearest even. F8_E4M3 has no infinity, F8_E5M2 has; F8_E8M0 is a power of
// two.
void WidenToF32(DType dtype, const std::byte* in, size_t count, float* out);

}  // namespace quantized
