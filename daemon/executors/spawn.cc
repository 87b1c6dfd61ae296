#include "daemon/executors/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/environment.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "daemon/worker/frames.h"

namespace quantized {
namespace {

absl::Status SpawnError(int error_number, const char* call) {
  return MakeError(Error::kInternal, absl::StrCat("cannot start a worker: ", call, ": ",
                                                  std::strerror(error_number)));
}

struct Channel {
  UniqueFd ours, childs;
};

// The child's descriptors 0 to 3 are made by dup2. Both ends lie above them, so that no dup2 hits a
// descriptor that a later one reads.
absl::StatusOr<Channel> AboveChildsFds(int ours, int childs) {
  const UniqueFd low_ours(ours);
  const UniqueFd low_childs(childs);
  Channel channel;
  channel.ours = UniqueFd(fcntl(ours, F_DUPFD_CLOEXEC, kWorkerSocket + 1));
  channel.childs = UniqueFd(fcntl(childs, F_DUPFD_CLOEXEC, kWorkerSocket + 1));
  if (channel.ours.get() < 0 || channel.childs.get() < 0 ||
      fcntl(channel.ours.get(), F_SETFL, O_NONBLOCK) != 0) {
    return SpawnError(errno, "fcntl");
  }
  return channel;
}

absl::StatusOr<Channel> MakeSocket() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    return SpawnError(errno, "socketpair");
  }
  return AboveChildsFds(fds[0], fds[1]);
}

absl::StatusOr<Channel> MakeLogPipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return SpawnError(errno, "pipe2");
  return AboveChildsFds(fds[0], fds[1]);
}

// What posix_spawn is to do in the child before exec.
class ChildSetup {
 public:
  ChildSetup(int socket, int log) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, log, 1);
    posix_spawn_file_actions_adddup2(&actions_, log, 2);
    posix_spawn_file_actions_adddup2(&actions_, socket, kWorkerSocket);
    // Libraries may have opened descriptors without close-on-exec.
    posix_spawn_file_actions_addclosefrom_np(&actions_, kWorkerSocket + 1);
    posix_spawn_file_actions_addchdir_np(&actions_, "/");

    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
  }
  ~ChildSetup() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  ChildSetup(const ChildSetup&) = delete;
  ChildSetup& operator=(const ChildSetup&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// Field 22 of /proc/PID/stat; counted from behind the program's name, which may hold blanks and
// brackets. 0 where it cannot be read.
uint64_t StartTicks(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  const std::string stat(std::istreambuf_iterator<char>(file), {});
  const std::string behind_name = stat.substr(stat.rfind(')') + 1);
  const std::vector<std::string> fields = absl::StrSplit(behind_name, ' ', absl::SkipEmpty());
  uint64_t ticks = 0;
  constexpr size_t kStartTime = 22 - 3;  // the first field here is number 3
  return fields.size() > kStartTime && absl::SimpleAtoi(fields[kStartTime], &ticks) ? ticks : 0;
}

}  // namespace

absl::StatusOr<WorkerProcess> SpawnWorker(const std::filesystem::path& binary) {
  ASSIGN_OR_RETURN(Channel socket, MakeSocket());
  ASSIGN_OR_RETURN(Channel log, MakeLogPipe());
  const ChildSetup setup(socket.childs.get(), log.childs.get());

  std::string program = binary.string();
  char* arguments[] = {program.data(), nullptr};
  std::vector<std::string> variables = WithoutSecrets(environ);
  // Else OpenBLAS starts threads while the worker is loaded, before it can block the signals that
  // it waits for: SIGTERM would end it on one of them. It computes on the worker's own threads.
  variables.insert(variables.begin(), "OPENBLAS_NUM_THREADS=1");
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);

  WorkerProcess process;
  if (const int error = posix_spawn(&process.pid, program.c_str(), setup.actions(),
                                    setup.attributes(), arguments, environment.data());
      error != 0) {
    return SpawnError(error, program.c_str());
  }
  // glibc 2.36 declares pidfd_open without C linkage.
  process.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  if (process.pidfd.get() < 0) {
    const int error = errno;
    kill(process.pid, SIGKILL);
    waitpid(process.pid, nullptr, 0);
    return SpawnError(error, "pidfd_open");
  }
  process.start_ticks = StartTicks(process.pid);
  process.socket = std::move(socket.ours);
  process.log = std::move(log.ours);
  return process;
}

}  // namespace quantized
