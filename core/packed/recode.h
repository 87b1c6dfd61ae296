// The same weights by other codes, and the closer of two ways to say them. Pure functions; any
// thread.
#pragma once

#include "core/packed/quantized_linear.h"
#include "core/tensor/matrix.h"

namespace quantized {

// Whether codes of `bits` bits, 2^(bits - 1) standing for 0, can say what every code of `grid`
// says. `grid` needs no codes: all that its bits allow count.
bool CanBeCentered(const QuantizedLinear& grid, int bits);

// The linear with such codes. Precondition: CanBeCentered.
QuantizedLinear Centered(QuantizedLinear linear, int bits);

// Whether neighbouring groups that make one of `group_size` have the same scale and zero point
// everywhere. False for sizes that are no multiple of the groups', or do not divide the row.
bool HasGroupsOf(const QuantizedLinear& grid, size_t group_size);

// The linear in such groups. Precondition: HasGroupsOf.
QuantizedLinear Regrouped(QuantizedLinear linear, size_t group_size);

// Group by group whichever of the two has the smaller sum of squared differences from `weights`
// [out, in]; `linear` where they are equal. Precondition: sizes and bits are the same, groups are
// of neighbours.
QuantizedLinear CloserGroups(const Matrix& weights, QuantizedLinear linear,
                             const QuantizedLinear& other);

}  // namespace quantized
