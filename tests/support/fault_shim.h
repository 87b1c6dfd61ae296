// Makes a file operation of a real program fail, or ends the program there, without a hook in it: a
// library that LD_PRELOAD puts before libc, told what to do by the variable FAULT_SHIM. Programs
// that the program starts inherit both, so a fault may be meant for the worker of a daemon.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace quantized::testing {

struct FaultRule {
  std::string exe;   // the program's file name, "quantize-worker"
  std::string call;  // open read write sync rename truncate allocate unlink, with their variants
  std::string path = "*";  // glob over the whole path, '*' matches '/'; of a rename, either one
  int n = 1;               // strikes at the n-th such call of a process, …
  bool and_later = false;  // … and at each one after
  // "kill" (SIGKILL before the call), "kill-after", "stop" (SIGSTOP before the call, which goes on
  // with SIGCONT), "no-memory" (allocations of 64 KiB and more by operator new fail from then on),
  // or the errno to fail with: "ENOSPC", "EIO", "EACCES", "EDQUOT".
  std::string action;
  // Made when the rule strikes; while it is there the rule does not strike again, in any process.
  // Empty: none.
  std::filesystem::path mark;
};

// The variables that put `rule` in force, for ProcessOptions::environment.
std::map<std::string, std::string> FaultEnvironment(const FaultRule& rule);

}  // namespace quantized::testing
