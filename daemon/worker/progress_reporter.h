// Sends to the daemon what a job has to say, and writes it to the attempt's log.
// Progress goes out at most ten times a second: the newest waits for its turn, and goes before
// anything that is said later, so the order holds and the last one is never lost.
#pragma once

#include <chrono>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "core/base/job_context.h"
#include "core/base/mutex.h"
#include "daemon/worker/daemon_channel.h"
#include "daemon/worker/json_log.h"

namespace quantized {

class ProgressReporter final : public ProgressSink {
 public:
  // Both must outlive this.
  ProgressReporter(DaemonChannel& channel, JsonLog& log) : channel_(channel), log_(log) {}

  void OnPhase(Phase phase) override;
  void OnMessage(std::string_view line) override;
  void OnWarning(std::string_view line) override;
  void OnProgress(uint64_t done, uint64_t total, std::string_view unit,
                  uint64_t bytes_written) override;
  void OnCheckpoint(uint64_t units, const std::filesystem::path& path) override;

  // Sends the progress that waits, if any.
  void Flush();

 private:
  using Clock = std::chrono::steady_clock;

  // `frame` after what waits.
  void Send(const v1::WorkerFrame& frame);
  void SendWaiting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  DaemonChannel& channel_;
  JsonLog& log_;
  const Clock::time_point began_ = Clock::now();
  Mutex mutex_;
  std::optional<v1::WorkerFrame> waiting_ ABSL_GUARDED_BY(mutex_);
  Clock::time_point next_turn_ ABSL_GUARDED_BY(mutex_) = Clock::now();
};

}  // namespace quantized
