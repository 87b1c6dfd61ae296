#include "tests/support/recording_sink.h"

namespace quantized::testing {

void RecordingSink::OnPhase(Phase phase) {
  {
    MutexLock lock(mutex_);
    phases.push_back(phase);
  }
  if (on_phase) on_phase(phase);
}

void RecordingSink::OnMessage(std::string_view line) {
  MutexLock lock(mutex_);
  messages.emplace_back(line);
}

void RecordingSink::OnWarning(std::string_view line) {
  MutexLock lock(mutex_);
  warnings.emplace_back(line);
}

void RecordingSink::OnProgress(uint64_t done, uint64_t total, std::string_view unit,
                               uint64_t bytes_written) {
  const Progress now{done, total, std::string(unit), bytes_written};
  {
    MutexLock lock(mutex_);
    progress.push_back(now);
  }
  if (on_progress) on_progress(now);
}

void RecordingSink::OnCheckpoint(uint64_t units, const std::filesystem::path&) {
  MutexLock lock(mutex_);
  checkpoints.push_back(units);
}

}  // namespace quantized::testing
