#include "daemon/worker/attempt.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/version.h"
#include "daemon/worker/crash_report.h"
#include "daemon/worker/daemon_channel.h"
#include "daemon/worker/error_detail.h"
#include "daemon/worker/guarded_work.h"
#include "daemon/worker/json_log.h"
#include "daemon/worker/out_of_memory.h"
#include "daemon/worker/progress_reporter.h"
#include "daemon/worker/visible_devices.h"
#include "daemon/worker/watch.h"

namespace quantized {
namespace {

constexpr int kCalledByHand = 2;

bool IsSocket(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

// Before any other thread starts.
void SetUpProcess(std::string_view program) {
  // The daemon's end is ours. Should it have ended before this call, the socket tells.
  CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
  CHECK(fcntl(kWorkerSocket, F_SETFD, FD_CLOEXEC) == 0);
  // Where memory runs out, the kernel is to take the worker and not the daemon. Not vital.
  std::ofstream("/proc/self/oom_score_adj") << 500;
  sigset_t signals;  // Watch reads it
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  CHECK(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  InstallCrashReport(program);
  InstallOutOfMemoryReport();
}

v1::WorkerFrame HelloFrame() {
  v1::WorkerFrame frame;
  v1::Hello& hello = *frame.mutable_hello();
  hello.set_version(std::string(kVersion));
  hello.set_api_version(kApiVersion);
  hello.set_pid(getpid());
  return frame;
}

// Sends the last word; returns the exit code.
int SayLastWord(DaemonChannel& channel, const JobOutcome& outcome) {
  absl::Status status = outcome.status;
  CHECK(channel.Send(HeartbeatFrame()).ok());
  v1::WorkerFrame frame;
  if (status.ok()) {
    *frame.mutable_result() = outcome.result;
    status = channel.Send(frame);
    if (status.ok()) return 0;
  }
  v1::AttemptError& last = *frame.mutable_error();
  *last.mutable_error() = ErrorDetailOf(status);
  const int exit_code = last.error().exit_code();
  if (outcome.result.kind_case() != v1::JobResult::KIND_NOT_SET) {
    *last.mutable_finished() = outcome.result;
    if (channel.Send(frame).ok()) return exit_code;
    last.clear_finished();  // too long for a frame; the error is not
  }
  CHECK(channel.Send(frame).ok());
  return exit_code;
}

// SIGTERM from anybody but the daemon, such as a session that ends, cancels no job: without a last
// word the attempt counts as interrupted, and another one goes on from the checkpoint.
[[noreturn]] void EndBySigterm(JsonLog& log) {
  log.Warning("interrupted by SIGTERM");
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  raise(SIGTERM);
  _exit(DaemonChannel::kDaemonGone);  // not reached: the disposition is the default one
}

// Returns the exit code.
int Work(DaemonChannel& channel, std::string_view program, AttemptWork work,
         const v1::StartAttempt& start) {
  JsonLog log(program, start.job_id(), start.attempt());
  log.Info("attempt begins", {{"version", kVersion}});
  ProgressReporter reporter(channel, log);
  UseDevicesOfClient(start.spec());
  JobOutcome outcome;
  bool interrupted = false;
  {
    Watch watch(channel, reporter);
    outcome = RunGuarded(work, start, watch.stop(), reporter);
    interrupted = !outcome.status.ok() && ErrorOf(outcome.status) == Error::kCancelled &&
                  !watch.stopped_by_daemon();
  }
  reporter.Flush();
  if (interrupted) EndBySigterm(log);
  if (outcome.status.ok()) {
    log.Info("attempt succeeded");
  } else {
    log.Error("attempt failed", {{"error", RowOf(ErrorOf(outcome.status)).error_type},
                                 {"why", std::string_view(outcome.status.message().data(),
                                                          outcome.status.message().size())}});
  }
  return SayLastWord(channel, outcome);
}

}  // namespace

int RunAttempt(std::string_view program, AttemptWork work) {
  if (!IsSocket(kWorkerSocket)) {
    std::fprintf(stderr, "%s is started by quantized and works for it; see --help\n",
                 std::string(program).c_str());
    return kCalledByHand;
  }
  SetUpProcess(program);
  DaemonChannel channel(kWorkerSocket);
  CHECK(channel.Send(HelloFrame()).ok());
  const v1::DaemonFrame first = channel.Receive();
  if (!first.has_start()) {
    return SayLastWord(channel, {MakeError(Error::kCancelled, "the job was cancelled"), {}});
  }
  return Work(channel, program, work, first.start());
}

}  // namespace quantized
