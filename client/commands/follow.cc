#include "client/commands/follow.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <array>
#include <chrono>
#include <optional>
#include <utility>

#include "client/commands/held_signals.h"
#include "client/render/human.h"
#include "client/render/job_display.h"
#include "client/render/json.h"
#include "client/render/result.h"
#include "client/render/resume_command.h"
#include "client/render/text.h"
#include "client/rpc/error_detail.h"
#include "core/base/error.h"

namespace quantized {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long a cancelled job may take to end before we leave it to the daemon.
constexpr std::chrono::seconds kCancelPatience{12};
// The progress line is redrawn this often; other displays only need to notice a long wait.
constexpr milliseconds kRedrawPause{100};
constexpr milliseconds kTickPause{500};

class Follower {
 public:
  Follower(const FollowOptions& options, CommandContext& context)
      : options_(options),
        output_(context.output),
        display_(context.output),
        session_({ConnectionFor(context, /*may_start=*/true), options.job}) {}

  CommandResult Run() {
    while (!ended_ && !signal_to_die_by_) {
      std::array<pollfd, 2> waiting = {pollfd{signals_.fd(), POLLIN, 0},
                                       pollfd{session_.wake_fd(), POLLIN, 0}};
      const bool redraws = output_.progress() == ProgressMode::kTty;
      poll(waiting.data(), waiting.size(),
           static_cast<int>((redraws ? kRedrawPause : kTickPause).count()));
      while (const auto signal = signals_.Take()) OnSignal(*signal);
      while (auto update = session_.Take()) {
        std::visit([this](const auto& one) { On(one); }, *update);
      }
      if (options_.show_progress) display_.Tick(Clock::now());
      session_.CheckSilence();
      if (cancelled_at_ && Clock::now() - *cancelled_at_ > kCancelPatience) {
        output_.Note(Verbosity::kNormal, "The job has not stopped yet; the daemon goes on trying");
        break;
      }
    }
    CommandResult result = Conclude();
    // Ending the session may take a while; nobody listens to signals then.
    signals_.Release();
    result.job_id = job_.id();
    if (cancelled_at_) result.signal = SIGINT;
    if (signal_to_die_by_) result.signal = *signal_to_die_by_;
    return result;
  }

 private:
  void OnSignal(int signal) {
    if (signal == SIGINT && options_.cancel_on_interrupt && !cancelled_at_) {
      cancelled_at_ = Clock::now();
      session_.Cancel();
      output_.Note(Verbosity::kNormal, "Cancelling… (Ctrl-C again to leave at once)");
      return;
    }
    signal_to_die_by_ = signal;
    const bool runs_on = !job_.id().empty() && !cancelled_at_ && !finished_;
    if (runs_on) {
      output_.DropProgress();
      output_.Note(
          Verbosity::kNormal,
          fmt::format("The job goes on; come back to it with 'llm-quantize jobs attach {}'",
                      job_.id()));
    }
  }

  void On(const session::JobKnown& update) {
    job_ = update.job;
    if (options_.show_progress) display_.OnJob(job_, Clock::now());
  }
  void On(const session::Event& update) {
    if (update.event.has_finished()) finished_ = update.event.finished();
    if (update.event.has_snapshot()) job_ = update.event.snapshot().job();
    if (options_.show_progress) display_.OnEvent(update.event, Clock::now());
  }
  void On(const session::ConnectionLost& update) { display_.OnConnectionLost(update.why); }
  void On(const session::Reconnected&) { display_.OnReconnected(); }
  void On(const session::Trace& update) { output_.Note(Verbosity::kDebug, update.line); }
  void On(const session::Ended& update) {
    ended_ = true;
    session_status_ = update.status;
  }

  CommandResult Conclude() {
    if (finished_) return ConcludeFinished();
    if (cancelled_at_) return {MakeError(Error::kCancelled, "cancelled before the job had ended")};
    if (signal_to_die_by_) return {absl::OkStatus()};
    if (!session_status_.ok()) return {session_status_};
    return {PrintSubmitted()};
  }

  CommandResult ConcludeFinished() {
    if (finished_->has_error()) {
      const v1::QuantizeResults& finished = finished_->finished().quantize();
      TellComplete(finished);
      return {.status = JobError(), .finished = finished};
    }
    if (!finished_->result().has_quantize()) return {PrintEnded()};
    const v1::QuantizeResults& results = finished_->result().quantize();
    TellComplete(results);
    return {output_.WriteResult(output_.format() == Format::kJson ? JsonResults(results, job_.id())
                                                                  : HumanResults(results))};
  }

  void TellComplete(const v1::QuantizeResults& results) {
    for (const v1::QuantizeResult& result : results.outputs()) {
      if (result.already_done()) {
        output_.Note(Verbosity::kNormal, "The output is there already, made by the same job");
      }
      output_.Note(Verbosity::kNormal, fmt::format("Complete: {} ({})", MainFileOf(result),
                                                   FormatBytes(result.file_size_bytes())));
    }
  }

  absl::Status JobError() const {
    const absl::Status status = StatusOf(finished_->error());
    const std::string resume = ResumeCommand(job_.spec());
    if (!cancelled_at_ || ErrorOf(status) != Error::kCancelled || resume.empty()) return status;
    return MakeError(Error::kCancelled, std::string(status.message()),
                     fmt::format("Go on with: {}", resume));
  }

  absl::Status PrintEnded() {
    job_.set_state(finished_->state());
    return PrintJob(HumanJob(job_));
  }

  absl::Status PrintSubmitted() {
    output_.Note(Verbosity::kNormal,
                 fmt::format("Follow it with 'llm-quantize jobs attach {}'", job_.id()));
    return PrintJob(job_.id() + "\n");
  }

  absl::Status PrintJob(const std::string& human) {
    return output_.WriteResult(output_.format() == Format::kJson ? JsonJob(job_) : human);
  }

  const FollowOptions& options_;
  Output& output_;
  JobDisplay display_;
  HeldSignals signals_;  // before the session, whose threads inherit the mask
  JobSession session_;

  v1::Job job_;
  std::optional<v1::Finished> finished_;
  bool ended_ = false;
  absl::Status session_status_;
  std::optional<Clock::time_point> cancelled_at_;
  std::optional<int> signal_to_die_by_;
};

}  // namespace

CommandResult FollowJob(const FollowOptions& options, CommandContext& context) {
  return Follower(options, context).Run();
}

}  // namespace quantized
