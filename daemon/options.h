// The command line of the program `quantized`.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace quantized {

struct DaemonOptions {
  std::filesystem::path socket = "/run/quantized/quantized.sock";
  std::string listen;  // HOST:PORT; empty: only the socket
  std::filesystem::path state_dir = "/var/lib/quantized";
  std::filesystem::path worker;  // empty: quantize-worker beside this program
  bool embedded = false;
  int ready_fd = -1;                    // -1: nobody waits
  std::chrono::seconds idle_exit{600};  // in embedded mode
  int slots = 1;
  unsigned threads = 0;  // 0: all processors
};

// What the words say, or the exit code of a program that has already printed its help, version or
// mistake.
struct CommandLine {
  DaemonOptions options;
  int exit_code = -1;  // -1: go on
};
CommandLine ParseCommandLine(int argc, char** argv);

}  // namespace quantized
