// Which devices a job may use: those that its owner's CUDA_VISIBLE_DEVICES names.
#pragma once

#include "quantized/v1/job.pb.h"

namespace quantized {

// Sets this process's CUDA_VISIBLE_DEVICES to the client's, where it has one; otherwise the
// daemon's stays. To be called before any other thread starts: they may read the environment.
void UseDevicesOfClient(const v1::JobSpec& spec);

}  // namespace quantized
