#include "daemon/worker/progress_reporter.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "daemon/worker/crash_report.h"

namespace quantized {
namespace {

constexpr std::chrono::milliseconds kProgressInterval{100};
// A line may quote a model file; frames are bounded.
constexpr size_t kMaxLineBytes = 16 << 10;

std::string Line(std::string_view text) { return PrintableText(text.substr(0, kMaxLineBytes)); }

}  // namespace

void ProgressReporter::OnPhase(Phase phase) {
  const auto number = static_cast<v1::Phase>(phase);
  SetPhaseForCrashReport(phase);
  log_.Info("phase", {{"phase", v1::Phase_Name(number)}});
  v1::WorkerFrame frame;
  frame.mutable_phase()->set_phase(number);
  Send(frame);
}

void ProgressReporter::OnMessage(std::string_view line) {
  log_.Info(line);
  v1::WorkerFrame frame;
  frame.mutable_message()->set_line(Line(line));
  Send(frame);
}

void ProgressReporter::OnWarning(std::string_view line) {
  log_.Warning(line);
  v1::WorkerFrame frame;
  frame.mutable_warning()->set_line(Line(line));
  Send(frame);
}

void ProgressReporter::OnProgress(uint64_t done, uint64_t total, std::string_view unit,
                                  uint64_t bytes_written) {
  const Clock::time_point now = Clock::now();
  v1::WorkerFrame frame;
  v1::Progress& progress = *frame.mutable_progress();
  progress.set_done(done);
  progress.set_total(total);
  progress.set_unit(std::string(unit));
  progress.set_bytes_written(bytes_written);
  progress.set_elapsed_seconds(std::chrono::duration<double>(now - began_).count());
  MutexLock lock(mutex_);
  waiting_ = std::move(frame);
  if (now >= next_turn_) SendWaiting();
}

void ProgressReporter::OnCheckpoint(uint64_t units, const std::filesystem::path& path) {
  log_.Info("checkpoint", {{"units", absl::StrCat(units)}});
  v1::WorkerFrame frame;
  frame.mutable_checkpoint()->set_units(units);
  frame.mutable_checkpoint()->set_path(Line(path.string()));
  Send(frame);
}

void ProgressReporter::Flush() {
  MutexLock lock(mutex_);
  SendWaiting();
}

void ProgressReporter::Send(const v1::WorkerFrame& frame) {
  MutexLock lock(mutex_);
  SendWaiting();
  CHECK(channel_.Send(frame).ok());
}

void ProgressReporter::SendWaiting() {
  if (!waiting_.has_value()) return;
  CHECK(channel_.Send(*waiting_).ok());
  waiting_.reset();
  next_turn_ = Clock::now() + kProgressInterval;
}

}  // namespace quantized
