// The commands `jobs list|show|attach|logs|wait|cancel`: what the daemon's queue holds, and coming
// back to a job.
#pragma once

#include "client/commands/command.h"

namespace quantized {

extern const Command kJobsListCommand;
extern const Command kJobsShowCommand;
extern const Command kJobsAttachCommand;
extern const Command kJobsLogsCommand;
extern const Command kJobsWaitCommand;
extern const Command kJobsCancelCommand;

}  // namespace quantized
