// Worker processes that outlived their daemon. A process is named by pid, start time and boot id
// together: a pid alone may have been given to somebody else since.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace quantized {

// The kernel's random id of this boot.
std::string BootId();

// Field 22 of /proc/PID/stat, in clock ticks since boot; none: there is no such process.
std::optional<uint64_t> ProcessStartTicks(int64_t pid);

// Kills the process (SIGKILL) if it still is the one that started at `start_ticks`, and waits until
// it is gone. Error: kInternal when it is still there after `patience`.
absl::Status EndLeftoverProcess(int64_t pid, uint64_t start_ticks,
                                std::chrono::milliseconds patience);

}  // namespace quantized
