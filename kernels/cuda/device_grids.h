// For the module's own sources: the grids of the IQ types (kernels/iq_grids) on the devices.
#pragma once

#include "kernels/iq_grids/iq_grids.h"

namespace quantized::kernels {

// The copy of `host` on `device`, which is the current device: made when first asked for, shared by
// all sessions, there until the process ends. Returns a CudaCode. Thread-safe.
int FindGridOnDevice(int device, const IqGrid& host, IqGrid* grid);

}  // namespace quantized::kernels
