// Codes 0, 1 and 2 for -d, 0 and d, where d is the largest magnitude of a block: what TQ1_0, TQ2_0
// and Q2_0 share.
#pragma once

#include "kernels/types/host_device.h"

namespace quantized::kernels {

// The code nearest to `ratio` = x / d, which is about -1 … 1; halves go away from zero.
QUANTIZED_HOST_DEVICE inline int TernaryCode(float ratio) {
  return 1 + (ratio >= 0.5f ? 1 : 0) - (ratio <= -0.5f ? 1 : 0);
}

}  // namespace quantized::kernels
