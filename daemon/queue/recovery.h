// What a new daemon does with what the one before left unfinished, before it accepts anything:
// worker processes that are still there are killed and waited for, their attempts are closed, and
// their jobs wait for another attempt (or are CANCELLED, if that was asked).
#pragma once

#include "absl/status/status.h"
#include "daemon/queue/job_table.h"

namespace quantized {

// Counts an ended attempt into its job: time and memory, and crashes and interruptions start anew
// when a unit became durable in it.
void AccountAttempt(const StoredAttempt& attempt, int64_t units_now, StoredJob& job);

// Ended jobs are kept for this long after their end.
inline constexpr int64_t kKeepJobsUs = int64_t{180} * 24 * 3600 * 1'000'000;

// Errors: the store's; kInternal when a leftover process could not be ended.
absl::Status RecoverJobs(Store& store, JobTable& table);

}  // namespace quantized
