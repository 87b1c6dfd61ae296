// Runs attempts as child processes on this machine: one worker, before it perhaps a fetcher, and
// one watching thread per attempt. What a worker may do wrong is contained: a silent, stuck,
// babbling or flooding one is killed, and nothing of its process group outlives the attempt.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "daemon/executors/executor.h"

namespace quantized {

struct LocalExecutorOptions {
  std::filesystem::path worker_binary;
  std::filesystem::path fetcher_binary;  // quantize-fetch; needed by jobs of the Hub alone
  // Without a frame for so long (Hello included), a worker is killed as unresponsive.
  std::chrono::milliseconds heartbeat_timeout{60'000};
  // Between its last word, or the end of its socket, and its end.
  std::chrono::milliseconds exit_grace{10'000};
  uint64_t max_log_bytes = uint64_t{16} << 20;
};

// Attempts may outlive the executor. Errors: kInternal when `worker_binary` is not an executable
// file.
absl::StatusOr<std::unique_ptr<Executor>> CreateLocalExecutor(LocalExecutorOptions options);

}  // namespace quantized
