// What a long piece of work gets from whoever runs it: a stop request, a place to report to, the
// threads, a scratch folder. core never logs and never prints; it reports here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "core/base/error.h"
#include "core/base/thread_pool.h"

namespace quantized {

// The parts of a job, in the order in which they happen. Numbers are those of the proto.
enum class Phase {
  kFetch = 9,  // the model is brought from the Hub
  kProbe = 1,
  kCalibrate = 2,  // an importance matrix is measured
  kLoad = 3,
  kQuantize = 5,
  kAssess = 6,  // the result's quality is measured
  kValidate = 7,
  kPublish = 8,
};

// Receives what a job has to say. Implementations are thread-safe and return quickly.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  virtual void OnPhase(Phase phase) = 0;
  // One line for the person who waits, as the contract words it: "Loading model: ./model".
  virtual void OnMessage(std::string_view line) = 0;
  // A fact worth telling that does not stop the job: a substituted type, a skipped file.
  virtual void OnWarning(std::string_view line) = 0;
  // `done` of `total` things called `unit` ("layers") are finished, `bytes_written` in all.
  virtual void OnProgress(uint64_t done, uint64_t total, std::string_view unit,
                          uint64_t bytes_written) = 0;
  // `units` finished units are durable in the checkpoint at `path`.
  virtual void OnCheckpoint(uint64_t units, const std::filesystem::path& path) = 0;
};

struct JobContext {
  std::stop_token stop;
  ProgressSink& progress;
  ThreadPool& threads;

  // kCancelled once a stop was requested. Long work asks at least once per tensor.
  absl::Status CheckStopped() const {
    return stop.stop_requested() ? MakeError(Error::kCancelled, "the job was cancelled")
                                 : absl::OkStatus();
  }
};

}  // namespace quantized
