// A progress sink that remembers what a job told, with hooks that are called as it tells it (from
// the job's threads).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/base/mutex.h"

namespace quantized::testing {

class RecordingSink : public ProgressSink {
 public:
  struct Progress {
    uint64_t done, total;
    std::string unit;
    uint64_t bytes_written;
  };

  std::function<void(Phase)> on_phase;
  std::function<void(const Progress&)> on_progress;

  void OnPhase(Phase phase) override;
  void OnMessage(std::string_view line) override;
  void OnWarning(std::string_view line) override;
  void OnProgress(uint64_t done, uint64_t total, std::string_view unit,
                  uint64_t bytes_written) override;
  void OnCheckpoint(uint64_t units, const std::filesystem::path& path) override;

  // To be read when the job has ended.
  std::vector<Phase> phases;
  std::vector<std::string> messages, warnings;
  std::vector<Progress> progress;
  std::vector<uint64_t> checkpoints;

 private:
  Mutex mutex_;
};

}  // namespace quantized::testing
