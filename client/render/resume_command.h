// How a user goes on with a job that was cancelled.
#pragma once

#include <string>

#include "quantized/v1/job.pb.h"

namespace quantized {

// The command that goes on with the job from its checkpoint, quoted for a shell; empty when the job
// keeps no checkpoints.
std::string ResumeCommand(const v1::JobSpec& spec);

}  // namespace quantized
