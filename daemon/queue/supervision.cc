#include "daemon/queue/supervision.h"

#include <signal.h>
#include <string.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "daemon/worker/error_detail.h"

namespace quantized {
namespace {

std::string SignalName(int signal) {
  const char* name = sigabbrev_np(signal);
  return name == nullptr ? absl::StrCat("signal ", signal) : absl::StrCat("SIG", name);
}

// "SIGSEGV in phase quantize".
v1::ErrorDetail CrashError(const AttemptEnd& end, v1::Phase phase) {
  std::string how = end.signal != 0
                        ? absl::StrCat("was killed by ", SignalName(end.signal))
                        : absl::StrCat("ended with exit code ", end.exit_code, " without a result");
  if (end.unresponsive) how = "stopped responding and was killed";
  const std::string in_phase =
      phase == v1::PHASE_UNSPECIFIED
          ? " before its first phase"
          : absl::StrCat(" in phase ", absl::AsciiStrToLower(v1::Phase_Name(phase)));
  const bool perhaps_memory = end.signal == SIGKILL && !end.unresponsive;
  v1::ErrorDetail error = ErrorDetailOf(MakeError(
      Error::kWorkerCrashed, absl::StrCat("the worker ", how, in_phase),
      perhaps_memory ? "check whether the machine ran out of memory; run the same command "
                       "again to resume from the checkpoint"
                     : "run the same command again to resume from the checkpoint"));
  error.set_log_tail(end.log_tail);
  return error;
}

Verdict Ended(v1::Job::State state, std::string reason, v1::ErrorDetail error) {
  Verdict verdict;
  verdict.to = state;
  verdict.reason = std::move(reason);
  verdict.error = std::move(error);
  return verdict;
}

}  // namespace

Verdict JudgeAttempt(const AttemptEnd& end, StopCause cause, v1::Phase phase, int crashes_before) {
  Verdict verdict;
  if (end.result) {
    verdict.to = v1::Job::SUCCEEDED;
    verdict.result = *end.result;
    return verdict;
  }
  if (cause == StopCause::kCancel) {
    verdict = Ended(v1::Job::CANCELLED, "CANCELLED_BY_OWNER", CancelledByOwner());
    if (end.error) verdict.finished = end.error->finished();
    return verdict;
  }
  if (cause == StopCause::kShutdown) {
    verdict.reason = "DAEMON_STOPPED";
    return verdict;
  }
  if (end.error) {
    const v1::ErrorDetail& error = end.error->error();
    const bool stopped = error.error() == static_cast<int>(Error::kCancelled);
    verdict = stopped ? Ended(v1::Job::CANCELLED, "WORKER_STOPPED", error)
                      : Ended(v1::Job::FAILED, "WORKER_FAILED", error);
    verdict.finished = end.error->finished();
    return verdict;
  }
  verdict.crashed = true;
  if (crashes_before + 1 >= kMaxCrashes) {
    verdict = Ended(v1::Job::FAILED, "WORKER_CRASHED", CrashError(end, phase));
    verdict.crashed = true;
    return verdict;
  }
  verdict.reason = "RETRY_AFTER_CRASH";
  return verdict;
}

v1::ErrorDetail CancelledByOwner() {
  return ErrorDetailOf(MakeError(Error::kCancelled, "the job was cancelled",
                                 "run the same command again to resume from the checkpoint"));
}

v1::ErrorDetail InterruptedTooOften() {
  return ErrorDetailOf(MakeError(
      Error::kInternal,
      absl::StrCat("the daemon died ", kMaxInterruptions,
                   " times in a row while this job ran, and no unit was finished in between"),
      "look for the cause in the system's log, then run the same command again"));
}

}  // namespace quantized
