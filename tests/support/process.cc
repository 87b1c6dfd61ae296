#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "core/base/check.h"

namespace quantized::testing {
namespace {

// Everything the child needs is made before fork: only system calls happen after it.
std::vector<std::string> Environment(const std::map<std::string, std::string>& changes) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : changes) {
    if (value.empty()) {
      variables.erase(name);
    } else {
      variables[name] = value;
    }
  }
  std::vector<std::string> lines;
  for (const auto& [name, value] : variables) lines.push_back(name + "=" + value);
  return lines;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Appends all that is there now; false at the end of the stream.
bool Drain(int fd, std::string& to) {
  char buffer[65536];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got > 0) {
      to.append(buffer, static_cast<size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      return got < 0 && errno == EAGAIN;
    }
  }
}

void CloseFd(int& fd) {
  if (fd >= 0) close(std::exchange(fd, -1));
}

}  // namespace

Process::Process(const std::vector<std::string>& argv, const ProcessOptions& options)
    : deadline_(std::chrono::steady_clock::now() + options.timeout) {
  int out[2], err[2];
  CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
  std::vector<std::string> arguments = argv, environment = Environment(options.environment);
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  const std::string directory = options.working_directory.string();
  pid_ = fork();
  CHECK(pid_ >= 0);
  if (pid_ == 0) {
    if (options.new_session) setsid();
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    if (!directory.empty() && chdir(directory.c_str()) != 0) _exit(126);
    execvpe(argument_pointers[0], argument_pointers.data(), environment_pointers.data());
    _exit(127);
  }
  close(out[1]);
  close(err[1]);
  out_fd_ = out[0];
  err_fd_ = err[0];
  fcntl(out_fd_, F_SETFL, O_NONBLOCK);
  fcntl(err_fd_, F_SETFL, O_NONBLOCK);
}

Process::~Process() {
  if (!reaped_) {
    kill(pid_, SIGKILL);
    Wait();
  }
  CloseOutputs();
}

void Process::Signal(int signal) {
  if (!reaped_) kill(pid_, signal);
}

void Process::CloseOutputs() {
  CloseFd(out_fd_);
  CloseFd(err_fd_);
}

bool Process::Pump(std::chrono::milliseconds wait) {
  pollfd polls[2] = {{out_fd_, POLLIN, 0}, {err_fd_, POLLIN, 0}};
  if (out_fd_ < 0 && err_fd_ < 0) return false;
  if (poll(polls, 2, static_cast<int>(wait.count())) <= 0) return true;
  if (polls[0].revents != 0 && !Drain(out_fd_, result_.out)) CloseFd(out_fd_);
  if (polls[1].revents != 0 && !Drain(err_fd_, result_.err)) CloseFd(err_fd_);
  return out_fd_ >= 0 || err_fd_ >= 0;
}

bool Process::WaitForOutput(const std::string& text, bool in_stderr) {
  const std::string& seen = in_stderr ? result_.err : result_.out;
  while (seen.find(text) == std::string::npos) {
    if (!Pump(std::chrono::milliseconds(200)) || OutOfTime()) break;
  }
  return seen.find(text) != std::string::npos;
}

ProcessResult Process::Wait() {
  // A daemon that the program started may hold the streams open: the program's own end counts.
  int status = 0;
  while (!reaped_) {
    // A process that closed its streams is waited for in small steps, so that its time counts.
    if (!Pump(std::chrono::milliseconds(10))) usleep(1000);
    const pid_t ended = waitpid(pid_, &status, WNOHANG);
    CHECK(ended >= 0);
    if (ended == pid_) {
      reaped_ = true;
    } else if (!result_.timed_out && OutOfTime()) {
      result_.timed_out = true;
      kill(pid_, SIGKILL);
    }
  }
  if (out_fd_ >= 0) Drain(out_fd_, result_.out);
  if (err_fd_ >= 0) Drain(err_fd_, result_.err);
  if (WIFSIGNALED(status)) {
    result_.signal = WTERMSIG(status);
  } else {
    result_.exit_code = WEXITSTATUS(status);
  }
  return result_;
}

ProcessResult RunProcess(const std::vector<std::string>& argv, const ProcessOptions& options) {
  return Process(argv, options).Wait();
}

}  // namespace quantized::testing
