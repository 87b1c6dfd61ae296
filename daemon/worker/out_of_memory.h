// How a worker tells that an allocation failed. On the thread that runs the job std::bad_alloc is
// caught by its runner; in any other thread, where nothing can be unwound to the job, it ends the
// process with a last word to the daemon.
#pragma once

#include "absl/status/status.h"

namespace quantized {

// kOutOfMemory, with what to do about it.
absl::Status AllocationFailed();

// From now on an uncaught std::bad_alloc sends AllocationFailed() over kWorkerSocket and exits with
// its code. Other uncaught exceptions abort, as they would have.
void InstallOutOfMemoryReport();

}  // namespace quantized
