#include "client/commands/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>

#include "client/commands/held_signals.h"
#include "core/base/environment.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kForever{-1};  // to poll
// How long a child may take to end that was asked to; then it is killed.
constexpr std::chrono::seconds kStopPatience{2};

// Tells the whole lines of `text` from `told` on.
void TellLines(std::string_view text, size_t& told,
               const std::function<void(std::string_view)>& on_line) {
  for (size_t end = text.find('\n', told); end != text.npos; end = text.find('\n', told)) {
    on_line(text.substr(told, end - told));
    told = end + 1;
  }
}

enum class ReadingEnd { kClosed, kTooMuch, kNotStopping };

// Reads `out` and `err` until both end, or one gives more than is allowed. A signal asks the child
// to end, which has kStopPatience to do so.
ReadingEnd ReadBoth(int out, int err, pid_t child, const HeldSignals& signals,
                    const ChildOptions& options, ChildOutput& output) {
  const std::array<int, 2> fds = {out, err};
  const std::array<std::string*, 2> texts = {&output.out, &output.err};
  size_t told = 0;
  std::array<pollfd, 3> waiting = {pollfd{fds[0], POLLIN, 0}, pollfd{fds[1], POLLIN, 0},
                                   pollfd{signals.fd(), POLLIN, 0}};
  std::optional<Clock::time_point> deadline;
  while (waiting[0].fd >= 0 || waiting[1].fd >= 0) {
    const milliseconds left =
        deadline ? std::chrono::ceil<milliseconds>(*deadline - Clock::now()) : kForever;
    if (deadline && left.count() <= 0) return ReadingEnd::kNotStopping;
    if (poll(waiting.data(), waiting.size(), static_cast<int>(left.count())) < 0) {
      if (errno == EINTR) continue;
      return ReadingEnd::kClosed;
    }
    if (waiting[2].revents != 0) {
      kill(child, SIGTERM);
      deadline = Clock::now() + kStopPatience;
      waiting[2].fd = -1;  // it is not taken: who holds signals dies by it
    }
    for (size_t i = 0; i < fds.size(); ++i) {
      if (waiting[i].fd < 0 || waiting[i].revents == 0) continue;
      std::array<char, 65536> bytes;
      const ssize_t count = read(waiting[i].fd, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        waiting[i].fd = -1;  // poll skips it
        continue;
      }
      texts[i]->append(bytes.data(), count);
      if (texts[i]->size() > options.max_bytes) return ReadingEnd::kTooMuch;
      if (fds[i] == err && options.on_err_line) TellLines(output.err, told, options.on_err_line);
    }
  }
  return ReadingEnd::kClosed;
}

// A descriptor that reads `bytes`, as a file that is nowhere: unlike a pipe it needs nobody to
// write on while the child reads.
absl::StatusOr<int> Readable(std::string_view bytes) {
  const int fd = memfd_create("input", MFD_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "make", "the input of a program");
  const ssize_t written = write(fd, bytes.data(), bytes.size());
  if (written != static_cast<ssize_t>(bytes.size()) || lseek(fd, 0, SEEK_SET) != 0) {
    const absl::Status status = ErrnoError(errno, "write", "the input of a program");
    close(fd);
    return status;
  }
  return fd;
}

std::vector<std::string> AllVariables() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  return variables;
}

// As posix_spawn wants them.
std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<pid_t> Spawn(std::vector<std::string>& arguments, bool sees_secrets, int in_fd,
                            int out_fd, int err_fd) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in_fd, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err_fd, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t pipe_signal;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &pipe_signal);
  // What is held back from us is not from the child.
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  for (const int signal : kHeldSignals) sigdelset(&mask, signal);
  posix_spawnattr_setsigmask(&attributes, &mask);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  std::vector<std::string> variables = sees_secrets ? AllVariables() : WithoutSecrets(environ);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, arguments[0].c_str(), &actions, &attributes,
                                Pointers(arguments).data(), Pointers(variables).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return MakeError(Error::kInternal,
                     fmt::format("cannot start {}: {}", arguments[0], std::strerror(error)),
                     "Install all programs of llm-quantize in one folder");
  }
  return pid;
}

}  // namespace

absl::StatusOr<ChildOutput> RunChild(std::vector<std::string> arguments,
                                     const ChildOptions& options) {
  const HeldSignals signals;
  ASSIGN_OR_RETURN(const int in, Readable(options.input));
  std::array<int, 2> out, err;
  if (pipe2(out.data(), O_CLOEXEC) != 0) {
    const absl::Status status = ErrnoError(errno, "make a pipe for", arguments[0]);
    close(in);
    return status;
  }
  if (pipe2(err.data(), O_CLOEXEC) != 0) {
    const absl::Status status = ErrnoError(errno, "make a pipe for", arguments[0]);
    close(in);
    close(out[0]);
    close(out[1]);
    return status;
  }
  const auto pid = Spawn(arguments, options.sees_secrets, in, out[1], err[1]);
  close(in);
  close(out[1]);
  close(err[1]);
  ChildOutput output;
  ReadingEnd end = ReadingEnd::kClosed;
  if (pid.ok()) {
    end = ReadBoth(out[0], err[0], *pid, signals, options, output);
    if (end != ReadingEnd::kClosed) kill(*pid, SIGKILL);
    int status = 0;
    while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) output.signal = WTERMSIG(status);
    if (WIFEXITED(status)) output.exit_code = WEXITSTATUS(status);
  }
  close(out[0]);
  close(err[0]);
  if (!pid.ok()) return pid.status();
  if (end == ReadingEnd::kTooMuch) {
    return MakeError(Error::kInternal,
                     fmt::format("{} printed more than {} bytes", arguments[0], options.max_bytes));
  }
  return output;
}

}  // namespace quantized
