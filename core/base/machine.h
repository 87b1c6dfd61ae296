// What this process and this machine have of memory and processors. Linux only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quantized {

// The highest resident memory of this process so far, in bytes (VmHWM of /proc/self/status; mapped
// file pages included).
uint64_t PeakResidentBytes();

// Memory that new work can take without swapping, in bytes: MemAvailable, or what the cgroup or
// this process's limit of address space (RLIMIT_AS) still allows where that is less.
uint64_t AvailableMemoryBytes();

// Processors that this process may run on (its affinity mask), at least 1.
size_t AvailableCpus();

// User and system CPU time of this process so far, in seconds.
double ProcessCpuSeconds();

}  // namespace quantized
