#include "client/render/job_display.h"

#include <fmt/format.h>

namespace quantized {
namespace {

using std::chrono::seconds;

// The plain form prints a line per step or per pause, whichever comes first.
constexpr int kPlainPercentStep = 5;
constexpr seconds kPlainPause{30};
// Most jobs start at once; only a wait that is felt is told.
constexpr seconds kWaitWorthTelling{1};
// The phases whose layers progress counts; what arrives in another one was late.
struct CountedPhase {
  v1::Phase phase;
  std::string_view label;
};
constexpr CountedPhase kCountedPhases[] = {{v1::FETCH, "Downloading"},
                                           {v1::CALIBRATE, "Calibrating"},
                                           {v1::QUANTIZE, "Quantizing"},
                                           {v1::ASSESS, "Assessing"}};

// Empty for a phase that is not counted.
std::string_view LabelOf(v1::Phase phase) {
  for (const CountedPhase& row : kCountedPhases) {
    if (row.phase == phase) return row.label;
  }
  return "";
}

// Whether `phase` comes after `other` in an attempt.
bool IsAfter(v1::Phase phase, v1::Phase other) {
  const auto place = [](v1::Phase one) { return one == v1::FETCH ? 1 : 2 * one; };
  return place(phase) > place(other);
}

// How many things a second came between two reports; 0 where it cannot be told.
double RateBetween(const v1::Progress& first, const v1::Progress& last) {
  const double between = last.elapsed_seconds() - first.elapsed_seconds();
  if (between < 1 || last.done() <= first.done()) return 0;
  return static_cast<double>(last.done() - first.done()) / between;
}

}  // namespace

void JobDisplay::OnJob(const v1::Job& job, TimePoint now) {
  output_.Note(Verbosity::kVerbose, fmt::format("Job {}", job.id()));
  waiting_ = job.state() == v1::Job::PENDING;
  waiting_since_ = now;
  queue_position_ = job.queue_position();
}

void JobDisplay::OnEvent(const v1::JobEvent& event, TimePoint now) {
  switch (event.kind_case()) {
    case v1::JobEvent::kState:
      return OnState(event.state(), event.attempt());
    case v1::JobEvent::kPhase:
      return OnPhase(event.phase().phase(), now);
    case v1::JobEvent::kMessage:
      return TellOnce(event.message().line(), false);
    case v1::JobEvent::kWarning:
      return TellOnce(event.warning().line(), true);
    case v1::JobEvent::kCheckpoint:
      return output_.Note(Verbosity::kDebug,
                          fmt::format("Checkpoint: {} units in {}", event.checkpoint().units(),
                                      event.checkpoint().path()));
    case v1::JobEvent::kProgress:
      return OnProgress(event.progress(), now);
    case v1::JobEvent::kSnapshot: {
      const v1::Job& job = event.snapshot().job();
      queue_position_ = job.queue_position();
      if (phase_ != job.phase()) progress_.Clear();
      phase_ = job.phase();
      return OnProgress(job.progress(), now);
    }
    case v1::JobEvent::kFinished:
      return OnFinished(event.finished(), now);
    case v1::JobEvent::kKeepAlive:
    case v1::JobEvent::KIND_NOT_SET:
      return;
  }
}

void JobDisplay::OnState(const v1::StateChange& change, int attempt) {
  output_.Note(Verbosity::kVerbose,
               fmt::format("State: {}{}{} (attempt {})", v1::Job::State_Name(change.to()),
                           change.reason().empty() ? "" : " ", change.reason(), attempt));
  const bool again = change.to() == v1::Job::PENDING && attempt > 0;
  if (again) {
    output_.DropProgress();
    progress_.Clear();
    phase_ = v1::PHASE_UNSPECIFIED;
    output_.Note(Verbosity::kNormal, fmt::format("Attempt {} ended ({}); the job runs again",
                                                 attempt, change.reason()));
  }
  if (change.to() != v1::Job::PENDING) waiting_ = false;
}

void JobDisplay::OnPhase(v1::Phase phase, TimePoint now) {
  if (IsAfter(phase, phase_)) CompletePhase(now);
  output_.Note(Verbosity::kVerbose, fmt::format("Phase: {}", v1::Phase_Name(phase)));
  phase_ = phase;
  progress_.Clear();
  printed_percent_ = 0;
  printed_at_ = now;
}

void JobDisplay::OnProgress(const v1::Progress& progress, TimePoint now) {
  if (LabelOf(phase_).empty() || progress.total() == 0) return;
  if (progress_.total() == 0) first_progress_ = progress;
  progress_ = progress;
  progress_received_ = now;
  Show(now);
}

void JobDisplay::OnFinished(const v1::Finished& finished, TimePoint now) {
  if (finished.state() == v1::Job::SUCCEEDED) {
    CompletePhase(now);
  } else {
    output_.KeepProgress();
  }
  waiting_ = false;
  progress_.Clear();
}

void JobDisplay::OnConnectionLost(std::string_view why) {
  output_.DropProgress();
  output_.Note(Verbosity::kNormal, "Connection to the daemon lost; the job goes on, reconnecting");
  output_.Note(Verbosity::kDebug, why);
}

void JobDisplay::OnReconnected() { output_.Note(Verbosity::kNormal, "Connected again"); }

void JobDisplay::Tick(TimePoint now) {
  if (waiting_ && now - waiting_since_ >= kWaitWorthTelling) {
    waiting_ = false;
    output_.Note(Verbosity::kNormal,
                 queue_position_ > 0
                     ? fmt::format("Waiting in the queue (position {})", queue_position_)
                     : std::string("Waiting in the queue"));
  }
  if (output_.progress() == ProgressMode::kTty && progress_.total() > 0) Show(now);
}

void JobDisplay::TellOnce(const std::string& line, bool warning) {
  if (!told_.insert(line).second) return;
  if (warning) {
    output_.Warn(line);
  } else {
    output_.Note(Verbosity::kNormal, line);
  }
}

// The last progress of a phase may have been dropped on its way; that the next phase began says
// that all was done.
void JobDisplay::CompletePhase(TimePoint now) {
  if (progress_.total() > 0) {
    if (progress_.done() < progress_.total()) {
      progress_.set_done(progress_.total());
      first_progress_ = progress_;  // how fast the rest came is not known
    }
    Show(now);
  }
  output_.KeepProgress();
}

void JobDisplay::Show(TimePoint now) {
  const ProgressState state = StateAt(now);
  if (output_.progress() == ProgressMode::kPlain) {
    const int percent = PercentOf(state);
    const bool step = percent / kPlainPercentStep != printed_percent_ / kPlainPercentStep;
    if (!step && now - printed_at_ < kPlainPause) return;
    printed_percent_ = percent;
    printed_at_ = now;
  }
  output_.ShowProgress(state);
}

ProgressState JobDisplay::StateAt(TimePoint now) const {
  const std::chrono::duration<double> since = now - progress_received_;
  return {std::string(LabelOf(phase_)),
          progress_.done(),
          progress_.total(),
          progress_.unit(),
          progress_.elapsed_seconds() + since.count(),
          RateBetween(first_progress_, progress_)};
}

}  // namespace quantized
