// The same weights by other codes. Pure functions; any thread.
#pragma once

#include "core/packed/quantized_linear.h"

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

}  // namespace quantized
