// Follows a job to its end in front of a person or a script: shows how it goes, minds the signals,
// prints the one result.
#pragma once

#include "client/commands/command.h"
#include "client/rpc/job_session.h"

namespace quantized {

struct FollowOptions {
  std::variant<NewJob, ExistingJob> job;
  bool show_progress = true;
  // Ctrl-C cancels the job; otherwise it only ends this program.
  bool cancel_on_interrupt = true;
};

// Signals, while it runs: the first SIGINT cancels the job and waits up to 12 s for its end, the
// second ends at once; both times the program then dies by SIGINT, so that shell loops stop.
// SIGTERM and SIGHUP leave the job running and say how to come back.
// A job that is not watched (NewJob::watch) is printed as soon as the daemon has it.
CommandResult FollowJob(const FollowOptions& options, CommandContext& context);

}  // namespace quantized
