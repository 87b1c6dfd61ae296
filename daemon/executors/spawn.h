// Starts the worker program: a session of its own, standard input from /dev/null, output and errors
// into one pipe, the socketpair at kWorkerSocket, no other descriptor, default signal dispositions,
// "/" as working folder, and this process's environment without secrets and with
// OPENBLAS_NUM_THREADS=1.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>

#include "absl/status/statusor.h"
#include "daemon/executors/unique_fd.h"

namespace quantized {

struct WorkerProcess {
  pid_t pid = 0;             // also its session and process group
  uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat
  UniqueFd pidfd;            // readable once it ended
  UniqueFd socket;           // our end; non-blocking
  UniqueFd log;              // what it prints; non-blocking
};

// The worker is killed with the calling thread (it asks for PR_SET_PDEATHSIG), which must therefore
// live until the process was reaped. Errors: kInternal where no process could be made.
absl::StatusOr<WorkerProcess> SpawnWorker(const std::filesystem::path& binary);

}  // namespace quantized
