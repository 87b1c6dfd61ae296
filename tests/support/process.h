// Runs the real programs, as a user's shell would.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace quantized::testing {

struct ProcessOptions {
  // Variables set on top of (or, with an empty value, taken out of) the test's own environment.
  std::map<std::string, std::string> environment;
  std::filesystem::path working_directory;  // empty: the test's own
  // A process that runs longer is killed; it then shows signal SIGKILL and timed_out.
  std::chrono::seconds timeout{300};
  bool new_session = false;  // setsid, as a terminal of its own would
};

struct ProcessResult {
  int exit_code = -1;  // -1 when a signal ended it
  int signal = 0;
  bool timed_out = false;
  std::string out, err;
};

// A running program whose stdout and stderr are collected. Not thread-safe.
class Process {
 public:
  // `argv[0]` is a path, or a name that is looked up in PATH. A program that cannot be started ends
  // with exit code 127.
  Process(const std::vector<std::string>& argv, const ProcessOptions& options);
  // Kills and reaps what still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal);
  // Closes our ends of its stdout and stderr, as a terminal that goes away.
  void CloseOutputs();
  // Blocks until stderr (true) or stdout holds `text`, the process ends or the time is up; tells
  // whether the text is there.
  bool WaitForOutput(const std::string& text, bool in_stderr = true);
  // Blocks until the end.
  ProcessResult Wait();

 private:
  // Reads what there is for up to `wait`; false at the end of both streams.
  bool Pump(std::chrono::milliseconds wait);
  bool OutOfTime() const { return std::chrono::steady_clock::now() >= deadline_; }

  pid_t pid_ = -1;
  int out_fd_ = -1, err_fd_ = -1;
  std::chrono::steady_clock::time_point deadline_;
  ProcessResult result_;
  bool reaped_ = false;
};

ProcessResult RunProcess(const std::vector<std::string>& argv, const ProcessOptions& options = {});

}  // namespace quantized::testing
