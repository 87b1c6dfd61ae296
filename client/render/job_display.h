// Shows on stderr how a job goes: turns its events into lines and the progress line. A durable
// event is told once; an attempt that begins anew does not repeat lines that were told before. Not
// thread-safe.
#pragma once

#include <chrono>
#include <set>
#include <string>

#include "client/render/output.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

class JobDisplay {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `output` must outlive the display.
  explicit JobDisplay(Output& output) : output_(output) {}

  void OnJob(const v1::Job& job, TimePoint now);
  void OnEvent(const v1::JobEvent& event, TimePoint now);
  void OnConnectionLost(std::string_view why);
  void OnReconnected();
  // To be called a few times a second: the elapsed time goes on, and a long wait is explained.
  void Tick(TimePoint now);

 private:
  void OnState(const v1::StateChange& change, int attempt);
  void OnPhase(v1::Phase phase, TimePoint now);
  void OnProgress(const v1::Progress& progress, TimePoint now);
  void OnFinished(const v1::Finished& finished, TimePoint now);
  void TellOnce(const std::string& line, bool warning);
  void Show(TimePoint now);
  void CompletePhase(TimePoint now);
  ProgressState StateAt(TimePoint now) const;

  Output& output_;
  v1::Phase phase_ = v1::PHASE_UNSPECIFIED;
  v1::Progress progress_;        // of this phase
  v1::Progress first_progress_;  // of this phase that was seen
  TimePoint progress_received_;  // when progress_ was true
  std::set<std::string> told_;

  // What the plain form has printed of this phase.
  int printed_percent_ = 0;
  TimePoint printed_at_;

  bool waiting_ = false;  // in the queue, not yet said
  TimePoint waiting_since_;
  int queue_position_ = 0;
};

}  // namespace quantized
