#include "daemon/queue/recovery.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "daemon/queue/clock.h"
#include "daemon/queue/leftover.h"
#include "daemon/queue/supervision.h"

namespace quantized {
namespace {

// A killed process is gone at once unless a driver or a network disk holds it.
constexpr std::chrono::seconds kPatience{30};

absl::Status RecoverJob(Store& store, JobTable& table, const std::string& id,
                        StoredAttempt attempt) {
  ASSIGN_OR_RETURN(const std::optional<StoredCheckpoint> checkpoint,
                   store.FindCheckpoint(attempt.job_row));
  const int64_t units = checkpoint ? checkpoint->units : 0;
  const bool cancelling = table.Live(id)->job.state() == v1::Job::CANCELLING;
  RETURN_IF_ERROR(
      table.Move(id, cancelling ? v1::Job::CANCELLED : v1::Job::PENDING, MovedBy::kRecovery,
                 cancelling ? "CANCELLED_BY_OWNER" : "DAEMON_RESTARTED", [&](StoredJob& stored) {
                   AccountAttempt(attempt, units, stored);
                   ++stored.interruptions;
                   if (cancelling) *stored.job.mutable_error() = CancelledByOwner();
                 }));
  attempt.ended_us = NowMicros();
  RETURN_IF_ERROR(store.PutAttempt(attempt));
  if (cancelling || table.Live(id)->interruptions < kMaxInterruptions) return absl::OkStatus();
  return table.Move(id, v1::Job::FAILED, MovedBy::kScheduler, "INTERRUPTED_TOO_OFTEN",
                    [](StoredJob& stored) { *stored.job.mutable_error() = InterruptedTooOften(); });
}

}  // namespace

void AccountAttempt(const StoredAttempt& attempt, int64_t units_now, StoredJob& job) {
  job.run_us += attempt.run_us;
  job.peak_memory_bytes = std::max(job.peak_memory_bytes, attempt.peak_memory_bytes);
  if (units_now > attempt.units_before) job.crashes = job.interruptions = 0;
}

absl::Status RecoverJobs(Store& store, JobTable& table) {
  ASSIGN_OR_RETURN(const std::vector<StoredAttempt> attempts, store.OpenAttempts());
  const std::string boot_id = BootId();
  std::map<int64_t, StoredAttempt> attempt_of_job;
  for (const StoredAttempt& attempt : attempts) {
    if (attempt.boot_id == boot_id && attempt.pid) {
      RETURN_IF_ERROR(
          EndLeftoverProcess(*attempt.pid, attempt.pid_start_ticks.value_or(0), kPatience));
    }
    attempt_of_job[attempt.job_row] = attempt;
  }
  RETURN_IF_ERROR(table.ForWriting().status());
  for (const std::string& id : table.ActiveIds()) {
    const auto attempt = attempt_of_job.find(table.Live(id)->row);
    if (attempt == attempt_of_job.end()) {
      return MakeError(Error::kIo, absl::StrCat("store is damaged: job ", id,
                                                " is active without "
                                                "an open attempt"));
    }
    RETURN_IF_ERROR(RecoverJob(store, table, id, attempt->second));
  }
  RETURN_IF_ERROR(store.RemoveJobsEndedBefore(NowMicros() - kKeepJobsUs).status());
  return table.Commit().status();
}

}  // namespace quantized
