// Last words of a crashing worker, on standard error: signal, address, phase and a backtrace of
// addresses, written with async-signal-safe calls only. The process then dies of the same signal.
#pragma once

#include <string_view>

#include "core/base/job_context.h"

namespace quantized {

// Catches SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT from now on. Once, before other threads
// start. `program`, which the report names, must live as long as the process.
void InstallCrashReport(std::string_view program);

// What the report names. Any thread.
void SetPhaseForCrashReport(Phase phase);

}  // namespace quantized
