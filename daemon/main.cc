// The program `quantized`: takes the state folder, starts queue and server, says READY, waits for
// its end, stops in order. Exit codes: 0 after a planned end, else that of the error.
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/core_file.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/version.h"
#include "daemon/executors/local_process.h"
#include "daemon/options.h"
#include "daemon/queue/clock.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/spec_check.h"
#include "daemon/queue/state_dir.h"
#include "daemon/service/daemon_log.h"
#include "daemon/service/daemon_server.h"
#include "daemon/service/lifetime.h"

namespace quantized {
namespace {

// A daemon that is stopping may take this long to let go of folder and socket.
constexpr std::chrono::seconds kPatience{5};
constexpr rlim_t kWantedDescriptors = 8192;  // a connection each, a few per worker

// The signals that end the daemon, blocked in every thread so that one thread can wait for them.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  CHECK(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);  // a terminal that closes ends no job
  return signals;
}

void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kWantedDescriptors));
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Tells the one who started us, then lets the descriptor go.
void TellReady(int fd, const std::string& line) {
  if (fd < 0) return;
  const std::string text = line + "\n";
  // Nobody may be there to read any more.
  if (write(fd, text.data(), text.size()) < 0) return;
  close(fd);
}

v1::ServerInfo DescribeServer(const DaemonOptions& options, const StateDir& state_dir) {
  v1::ServerInfo info;
  info.set_version(std::string(kVersion));
  info.set_api_version(kApiVersion);
  info.set_pid(getpid());
  *info.mutable_start_time() = TimestampOf(NowMicros());
  info.set_embedded(options.embedded);
  info.set_store_path(state_dir.store_path().string());
  info.set_log_path(LogFilePath());
  info.set_sqlite_version(sqlite3_libversion());
  for (const std::string_view format : AcceptedFormats()) info.add_formats(std::string(format));
  return info;
}

const char* Describe(Lifetime::End end) {
  switch (end) {
    case Lifetime::End::kAsked:
      return "stopping: asked to";
    case Lifetime::End::kAskedWhenIdle:
      return "stopping: the last job has ended";
    case Lifetime::End::kUnused:
      return "stopping: unused";
  }
  return "stopping";
}

// Returns when the daemon has stopped. `*told` becomes true when READY was said.
absl::Status Serve(const DaemonOptions& options, const sigset_t& end_signals, DaemonLog& log,
                   bool* told) {
  const auto say = [&](const std::string& message) {
    log.Write({.component = "main", .message = message});
  };
  ASSIGN_OR_RETURN(const StateDir state_dir, StateDir::Open(options.state_dir, kPatience));
  const auto programs = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Executor> executor,
      CreateLocalExecutor(
          {.worker_binary = options.worker.empty() ? programs / "quantize-worker" : options.worker,
           .fetcher_binary = programs / "quantize-fetch"}));
  Lifetime lifetime(options.embedded ? std::optional(options.idle_exit) : std::nullopt);
  ASSIGN_OR_RETURN(const std::unique_ptr<JobQueue> queue,
                   JobQueue::Start({.store = {.path = state_dir.store_path()},
                                    .logs_dir = state_dir.logs_path(),
                                    .cache_dir = state_dir.cache_path(),
                                    .slots = options.slots,
                                    .threads = options.threads,
                                    .log = log.sink(),
                                    .on_idle = [&lifetime] { lifetime.JobsChanged(); }},
                                   *executor));
  ASSIGN_OR_RETURN(std::unique_ptr<DaemonServer> server,
                   DaemonServer::Start({.socket = options.socket,
                                        .patience = kPatience,
                                        .listen = options.listen,
                                        .info = DescribeServer(options, state_dir)},
                                       *queue, lifetime));
  say(absl::StrCat("serving ", options.socket.string(),
                   server->port() > 0 ? absl::StrCat(" and port ", server->port()) : "",
                   ", version ", std::string(kVersion), ", SQLite ", sqlite3_libversion()));
  TellReady(options.ready_fd,
            server->port() > 0 ? absl::StrCat("READY port ", server->port()) : "READY");
  *told = true;

  std::thread signals([&] {
    int signal = 0;
    sigwait(&end_signals, &signal);
    lifetime.Stop();
  });
  say(Describe(lifetime.WaitForEnd([&] { return queue->live_jobs(); })));
  server->SetNotServing();
  queue->Stop();
  server.reset();
  pthread_kill(signals.native_handle(), SIGTERM);
  signals.join();
  say("stopped");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  const CommandLine line = ParseCommandLine(argc, argv);
  if (line.exit_code >= 0) return line.exit_code;
  LeaveNoCoreFile();  // it would hold the tokens of the jobs
  const sigset_t end_signals = BlockEndSignals();
  RaiseDescriptorLimit();
  DaemonLog log;
  bool told = false;
  const absl::Status status = Serve(line.options, end_signals, log, &told);
  if (status.ok()) return 0;
  const std::string message(status.message());
  log.Write({.level = LogEntry::Level::kError, .component = "main", .message = message});
  if (!told) TellReady(line.options.ready_fd, message);
  return RowOf(ErrorOf(status)).exit_code;
}

}  // namespace
}  // namespace quantized

int main(int argc, char** argv) { return quantized::Main(argc, argv); }
