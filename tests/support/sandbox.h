// A user of their own for one test: home, runtime and state folders that nobody else uses, hence a
// daemon of their own, started by the first command that needs one and stopped at the end.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace quantized::testing {

class Sandbox {
 public:
  Sandbox();
  // Kills what still runs.
  ~Sandbox();

  const std::filesystem::path& path() const { return folder_.path(); }
  // Where commands run; empty at first.
  std::filesystem::path work() const { return path() / "work"; }

  // Options under which `llm-quantize` belongs to this user; add variables as needed.
  ProcessOptions options() const;
  // The command line of the client with `arguments`.
  static std::vector<std::string> Command(const std::vector<std::string>& arguments);
  ProcessResult Run(const std::vector<std::string>& arguments) const;
  // `command` as sh runs it without a terminal, our programs in PATH, the source tree in
  // SOURCE_DIR.
  ProcessResult RunInShell(const std::string& command,
                           const std::map<std::string, std::string>& environment = {}) const;

  // Living processes of this user whose program is `name` ("quantized"), zombies excluded.
  std::vector<pid_t> Processes(std::string_view name) const;
  // Whether no process of this user called `name` is left within ten seconds.
  bool GoneSoon(std::string_view name) const;

 private:
  TempDir folder_;
};

// The state letter of /proc/PID/stat: 'R', 'S', 'T' (stopped), 'Z' …; 0 where there is no process.
char ProcessState(pid_t pid);

// Polls `condition` every few milliseconds; false when it did not hold within `timeout`.
template <typename Condition>
bool WaitUntil(const Condition& condition,
               std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// Every file below `folder`, relative to it, sorted: to see that nothing was left behind.
std::vector<std::string> FilesBelow(const std::filesystem::path& folder);

}  // namespace quantized::testing
