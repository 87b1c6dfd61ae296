#include "client/rpc/embedded_daemon.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "client/rpc/endpoint.h"
#include "client/rpc/wait.h"
#include "core/base/environment.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLockPoll{20};
constexpr size_t kLongestReadyMessage = 4096;
constexpr uintmax_t kLargestLog = 8 << 20;
constexpr int kReadyFd = 3;  // in the daemon

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { Close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

absl::Status Unavailable(const UserFolders& folders, std::string_view why) {
  return MakeError(Error::kDaemonUnavailable, fmt::format("the daemon did not start: {}", why),
                   fmt::format("See {}", folders.log().native()));
}

// A socket that answers: the usual one, or the one that the daemon was last started with.
std::optional<std::filesystem::path> AnsweringSocket(const UserFolders& folders) {
  if (SocketAnswers(folders.socket())) {
    if (CheckPrivateFolder(folders.socket_dir).ok()) return folders.socket();
    return std::nullopt;
  }
  auto recorded = ReadFile(folders.socket_record(), 4096);
  if (!recorded.ok()) return std::nullopt;
  while (recorded->ends_with('\n')) recorded->pop_back();
  const std::filesystem::path socket(*recorded);
  if (!socket.is_absolute() || !SocketAnswers(socket)) return std::nullopt;
  if (!CheckPrivateFolder(socket.parent_path()).ok()) return std::nullopt;
  return socket;
}

struct ReadyMessage {
  std::string text;
  bool timed_out = false;  // or given up
};

// What the daemon says on its ready descriptor until it is ready, closes it or time is over.
ReadyMessage ReadReadyMessage(int fd, milliseconds timeout, std::stop_token stop) {
  constexpr milliseconds kSlice{100};
  ReadyMessage message;
  const Clock::time_point deadline = Clock::now() + timeout;
  while (!message.text.starts_with("READY") && message.text.size() < kLongestReadyMessage) {
    if (Clock::now() >= deadline || stop.stop_requested()) {
      message.timed_out = true;
      break;
    }
    pollfd waiting{fd, POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(kSlice.count())) <= 0) continue;
    std::array<char, 512> bytes;
    const ssize_t count = read(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    message.text.append(bytes.data(), count);
  }
  while (message.text.ends_with('\n')) message.text.pop_back();
  return message;
}

// How a daemon that said nothing ended. One that lives on after it closed its ready descriptor is
// broken; it is not waited for.
std::string DescribeExit(pid_t pid) {
  constexpr int kTries = 100;
  int status = 0;
  for (int tries = 0; waitpid(pid, &status, WNOHANG) == 0; ++tries) {
    if (tries == kTries) return "it closed its ready descriptor without a word";
    WaitFor(kLockPoll, {});
  }
  if (WIFSIGNALED(status)) return fmt::format("it was killed by signal {}", WTERMSIG(status));
  return fmt::format("it ended with exit code {}", WEXITSTATUS(status));
}

// Starts the program detached from this process: own session, no terminal, working directory /,
// none of our descriptors or signal settings.
absl::StatusOr<pid_t> Spawn(const EmbeddedDaemonOptions& options, int ready_fd, int log_fd) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, log_fd, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, log_fd, STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ready_fd, kReadyFd);
  posix_spawn_file_actions_addclosefrom_np(&actions, kReadyFd + 1);
  posix_spawn_file_actions_addchdir_np(&actions, "/");

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::array<std::string, 8> arguments = {options.program.native(),
                                          "--embedded",
                                          "--socket",
                                          options.folders.socket().native(),
                                          "--state-dir",
                                          options.folders.state_dir.native(),
                                          "--ready-fd",
                                          std::to_string(kReadyFd)};
  // The daemon outlives this command; which devices it may use, and a token, travel with each job.
  std::vector<std::string> variables = WithoutSecrets(environ);
  std::erase_if(variables, [](const std::string& variable) {
    return variable.starts_with("CUDA_VISIBLE_DEVICES=");
  });
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  std::array<char*, arguments.size() + 1> argv{};
  std::transform(arguments.begin(), arguments.end(), argv.begin(),
                 [](std::string& argument) { return argument.data(); });
  pid_t pid = 0;
  const int error = posix_spawn(&pid, options.program.c_str(), &actions, &attributes, argv.data(),
                                environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return MakeError(
        Error::kDaemonUnavailable,
        fmt::format("cannot start {}: {}", options.program.native(), std::strerror(error)),
        "Install quantized beside llm-quantize, or name a daemon with --host");
  }
  return pid;
}

// What earlier daemons wrote stays, so that a crash can be looked into; one older file is kept.
void RotateLog(const std::filesystem::path& log) {
  std::error_code ignored;
  const auto size = std::filesystem::file_size(log, ignored);
  if (!ignored && size > kLargestLog) {
    std::filesystem::rename(log, log.native() + ".1", ignored);
  }
}

// The caller holds the lock and has seen that no daemon answers.
absl::StatusOr<EmbeddedDaemon> Start(const EmbeddedDaemonOptions& options, std::stop_token stop) {
  const UserFolders& folders = options.folders;
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return ErrnoError(errno, "make a pipe for", "quantized");
  Fd ready_in(pipe_fds[0]);
  // Descriptors below 4 would be overwritten by the child's own before they are copied.
  Fd ready_out(fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, kReadyFd + 1));
  close(pipe_fds[1]);
  RotateLog(folders.log());
  const Fd log(open(folders.log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (log.get() < 0) return ErrnoError(errno, "write", folders.log().native());
  const Fd high_log(fcntl(log.get(), F_DUPFD_CLOEXEC, kReadyFd + 1));

  RETURN_IF_ERROR(WriteFileAtomically(folders.socket_record(), folders.socket().native() + "\n"));
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(options, ready_out.get(), high_log.get()));
  ready_out.Close();
  const ReadyMessage message = ReadReadyMessage(ready_in.get(), options.ready_timeout, stop);
  if (message.text.starts_with("READY")) return EmbeddedDaemon{folders.socket(), true};
  if (message.timed_out) {
    kill(pid, SIGTERM);
    return Unavailable(
        folders, fmt::format("it was not ready within {} s", options.ready_timeout.count() / 1000));
  }
  return Unavailable(folders, message.text.empty() ? DescribeExit(pid) : message.text);
}

}  // namespace

absl::StatusOr<EmbeddedDaemon> FindEmbeddedDaemon(const UserFolders& folders) {
  if (auto socket = AnsweringSocket(folders)) return EmbeddedDaemon{*socket, false};
  return MakeError(Error::kDaemonUnavailable, "no daemon is running",
                   "Start it with 'llm-quantize server start'");
}

absl::StatusOr<EmbeddedDaemon> EnsureEmbeddedDaemon(const EmbeddedDaemonOptions& options,
                                                    std::stop_token stop) {
  const UserFolders& folders = options.folders;
  if (auto socket = AnsweringSocket(folders)) return EmbeddedDaemon{*socket, false};
  RETURN_IF_ERROR(PrepareUserFolders(folders));
  const Fd lock(open(folders.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() < 0) return ErrnoError(errno, "open", folders.lock().native());

  const Clock::time_point deadline = Clock::now() + options.lock_timeout;
  while (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return ErrnoError(errno, "lock", folders.lock().native());
    }
    if (auto socket = AnsweringSocket(folders)) return EmbeddedDaemon{*socket, false};
    if (Clock::now() >= deadline) {
      return Unavailable(folders, fmt::format("another client has been starting it for {} s",
                                              options.lock_timeout.count() / 1000));
    }
    if (!WaitFor(kLockPoll, stop)) return MakeError(Error::kCancelled, "the start was given up");
  }
  if (auto socket = AnsweringSocket(folders)) return EmbeddedDaemon{*socket, false};
  auto started = Start(options, stop);
  // A client that was killed between start and READY leaves a daemon that got ready without it.
  if (!started.ok()) {
    if (auto socket = AnsweringSocket(folders)) return EmbeddedDaemon{*socket, false};
  }
  return started;
}

}  // namespace quantized
