// The queue: starting attempts, hearing them, judging their ends.
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "daemon/queue/attempt_log.h"
#include "daemon/queue/clock.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/leftover.h"
#include "daemon/queue/recovery.h"
#include "daemon/worker/error_detail.h"

namespace quantized {
namespace {

using std::chrono::steady_clock;

// How often the time that an attempt has run is written to the store, at least while it reports
// progress: what a killed daemon forgets of duration_seconds.
constexpr std::chrono::seconds kSaveRunTime{5};

int64_t MicrosSince(steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - start).count();
}

double Seconds(int64_t micros) { return static_cast<double>(micros) / 1e6; }

// What an attempt cannot know of a result: all that the job took.
void CompleteResult(const StoredJob& stored, v1::JobResult& result) {
  if (!result.has_quantize()) return;
  for (v1::QuantizeResult& output : *result.mutable_quantize()->mutable_outputs()) {
    output.set_duration_seconds(Seconds(stored.run_us));
    output.set_peak_memory_bytes(std::max(output.peak_memory_bytes(), stored.peak_memory_bytes));
    output.set_attempts(stored.job.attempt());
  }
}

}  // namespace

JobQueue::Running* JobQueue::FindRunning(const std::string& job_id, int attempt) {
  const auto found = running_.find(job_id);
  return found != running_.end() && found->second.row.number == attempt ? &found->second : nullptr;
}

void JobQueue::StopAttempt(Running& running, StopCause cause) {
  // The owner's word stands when the daemon stops as well.
  if (running.cause != StopCause::kCancel) running.cause = cause;
  if (running.attempt) running.attempt->Stop(options_.stop_grace);
}

absl::Status JobQueue::StartJobs() {
  if (stopping_) return absl::OkStatus();
  const std::map<int64_t, std::string>& pending = table_->pending();
  // A start takes the job out of `pending`, so the iterator moves on first.
  for (auto next = pending.begin();
       next != pending.end() && table_->active_count() < static_cast<size_t>(options_.slots);) {
    const std::string id = (next++)->second;
    const v1::Job& job = table_->Live(id)->job;
    // Two workers must not write one file: the later job waits for the earlier.
    if (table_->OutputInUse(job.spec()) || AwaitsToken(job)) continue;
    RETURN_IF_ERROR(StartJob(id));
  }
  return absl::OkStatus();
}

bool JobQueue::AwaitsToken(const v1::Job& job) const {
  return job.spec().quantize().hub().has_token() && !hub_tokens_.contains(job.id()) &&
         steady_clock::now() < tokens_awaited_until_;
}

absl::Status JobQueue::StartJob(const std::string& id) {
  RETURN_IF_ERROR(
      table_->Move(id, v1::Job::STARTING, MovedBy::kScheduler, "", [](StoredJob& stored) {
        stored.job.set_attempt(stored.job.attempt() + 1);
        stored.job.set_phase(v1::PHASE_UNSPECIFIED);
        if (!stored.job.has_start_time()) {
          *stored.job.mutable_start_time() = TimestampOf(NowMicros());
        }
      }));
  const StoredJob& stored = *table_->Live(id);
  ASSIGN_OR_RETURN(const std::optional<StoredCheckpoint> checkpoint,
                   store_->FindCheckpoint(stored.row));
  StoredAttempt row{.job_row = stored.row,
                    .number = stored.job.attempt(),
                    .boot_id = BootId(),
                    .units_before = checkpoint ? checkpoint->units : 0,
                    .started_us = NowMicros()};
  // Before the process: a daemon that dies in between finds an attempt without a process.
  RETURN_IF_ERROR(store_->PutAttempt(row));

  v1::StartAttempt start;
  start.set_job_id(id);
  start.set_attempt(row.number);
  start.set_cache_dir(options_.cache_dir.string());
  *start.mutable_spec() = stored.job.spec();
  if (const auto token = hub_tokens_.find(id); token != hub_tokens_.end()) {
    start.set_hub_token(token->second);
  }
  if (start.spec().has_quantize()) {
    v1::QuantizeSpec& quantize = *start.mutable_spec()->mutable_quantize();
    if (quantize.threads() == 0) quantize.set_threads(options_.threads);
    for (const v1::OutputSpec& output : quantize.outputs()) {
      ASSIGN_OR_RETURN(std::optional<v1::QuantizeResult> previous, store_->ResultAt(output.path()));
      if (previous) *start.add_previous_results() = *std::move(previous);
    }
  }
  AfterCommit([this, start = std::move(start), row = std::move(row)] { Launch(start, row); });
  return absl::OkStatus();
}

void JobQueue::Launch(const v1::StartAttempt& start, const StoredAttempt& row) {
  const std::string& id = start.job_id();
  CHECK(!running_.contains(id));
  Running& running = running_[id];
  running.row = row;
  running.started = running.saved = steady_clock::now();
  running.progress.set_elapsed_seconds(Seconds(table_->Live(id)->run_us));
  running.link = std::make_unique<AttemptLink>(
      id, row.number, static_cast<AttemptListener&>(*this),
      [this](std::function<absl::Status()> run) {
        mailbox_.PostAlways({.run = std::move(run), .refuse = nullptr});
      });
  const std::filesystem::path log_path = AttemptLogPath(options_.logs_dir, id, row.number);
  absl::Status status = CreateDirectories(log_path.parent_path(), 0700);
  if (status.ok()) {
    absl::StatusOr<std::unique_ptr<Attempt>> attempt =
        executor_.Start(start, log_path.string(), *running.link);
    status = attempt.status();
    if (attempt.ok()) running.attempt = std::move(*attempt);
  }
  if (status.ok()) return;
  AttemptEnd end;
  end.error = std::make_unique<v1::AttemptError>();
  *end.error->mutable_error() = ErrorDetailOf(status);
  running.link->OnEnd(std::move(end));
}

absl::Status JobQueue::OnRunning(const std::string& job_id, int attempt, int64_t pid,
                                 uint64_t pid_start_ticks) {
  Running* running = FindRunning(job_id, attempt);
  if (running == nullptr) return absl::OkStatus();
  running->row.pid = pid;
  running->row.pid_start_ticks = static_cast<int64_t>(pid_start_ticks);
  ASSIGN_OR_RETURN(Store * store, table_->ForWriting());
  RETURN_IF_ERROR(store->PutAttempt(running->row));
  // A cancel may have come first.
  if (table_->Live(job_id)->job.state() != v1::Job::STARTING) return absl::OkStatus();
  return table_->Move(job_id, v1::Job::RUNNING, MovedBy::kWorker, "");
}

absl::Status JobQueue::OnFrame(const std::string& job_id, int attempt,
                               const v1::WorkerFrame& frame) {
  Running* running = FindRunning(job_id, attempt);
  if (running == nullptr) return absl::OkStatus();
  v1::JobEvent event;
  switch (frame.kind_case()) {
    case v1::WorkerFrame::kPhase:
      *event.mutable_phase() = frame.phase();
      break;
    case v1::WorkerFrame::kMessage:
      *event.mutable_message() = frame.message();
      break;
    case v1::WorkerFrame::kWarning:
      *event.mutable_warning() = frame.warning();
      break;
    case v1::WorkerFrame::kCheckpoint: {
      *event.mutable_checkpoint() = frame.checkpoint();
      ASSIGN_OR_RETURN(Store * store, table_->ForWriting());
      RETURN_IF_ERROR(
          store->PutCheckpoint(running->row.job_row,
                               {.path = frame.checkpoint().path(),
                                .units = static_cast<int64_t>(frame.checkpoint().units())},
                               NowMicros()));
      RETURN_IF_ERROR(SaveRunTime(*running));
      break;
    }
    case v1::WorkerFrame::kProgress:
      return OnProgress(*running, *table_->Live(job_id), frame.progress());
    default:
      return absl::OkStatus();  // the executor keeps the others to itself
  }
  return table_->Tell(job_id, std::move(event));
}

absl::Status JobQueue::OnProgress(Running& running, const StoredJob& stored,
                                  v1::Progress progress) {
  progress.set_elapsed_seconds(Seconds(stored.run_us + MicrosSince(running.started)));
  if (steady_clock::now() - running.saved >= kSaveRunTime) {
    RETURN_IF_ERROR(SaveRunTime(running));
  }
  auto event = std::make_shared<v1::JobEvent>();
  event->set_ephemeral(true);
  *event->mutable_time() = TimestampOf(NowMicros());
  event->set_attempt(running.row.number);
  *event->mutable_progress() = progress;
  running.progress = std::move(progress);
  AfterCommit([this, id = stored.job.id(), event] { hub_.PushProgress(id, event); });
  return absl::OkStatus();
}

absl::Status JobQueue::SaveRunTime(Running& running) {
  running.saved = steady_clock::now();
  running.row.run_us = MicrosSince(running.started);
  ASSIGN_OR_RETURN(Store * store, table_->ForWriting());
  return store->PutAttempt(running.row);
}

absl::Status JobQueue::OnEnd(const std::string& job_id, int attempt, const AttemptEnd& end) {
  Running* running = FindRunning(job_id, attempt);
  if (running == nullptr) return absl::OkStatus();
  StoredAttempt& row = running->row;
  row.run_us = MicrosSince(running->started);
  row.peak_memory_bytes = end.peak_memory_bytes;
  row.exit_code = end.exit_code;
  row.signal = end.signal;
  row.ended_us = NowMicros();
  ASSIGN_OR_RETURN(Store * store, table_->ForWriting());
  RETURN_IF_ERROR(store->PutAttempt(row));
  ASSIGN_OR_RETURN(const std::optional<StoredCheckpoint> checkpoint,
                   store->FindCheckpoint(row.job_row));

  StoredJob counted = *table_->Live(job_id);
  AccountAttempt(row, checkpoint ? checkpoint->units : 0, counted);
  const StopCause cause =
      counted.job.state() == v1::Job::CANCELLING ? StopCause::kCancel : running->cause;
  Verdict verdict = JudgeAttempt(end, cause, counted.job.phase(), counted.crashes);
  if (verdict.to == v1::Job::SUCCEEDED && counted.job.state() == v1::Job::STARTING) {
    // Its Hello was lost in a transaction that failed; the table of states has no short cut.
    RETURN_IF_ERROR(table_->Move(job_id, v1::Job::RUNNING, MovedBy::kWorker, ""));
  }
  RETURN_IF_ERROR(table_->Move(job_id, verdict.to, MovedBy::kSupervisor, verdict.reason,
                               [&](StoredJob& stored) {
                                 stored.run_us = counted.run_us;
                                 stored.peak_memory_bytes = counted.peak_memory_bytes;
                                 stored.crashes = counted.crashes + (verdict.crashed ? 1 : 0);
                                 stored.interruptions = 0;
                                 CompleteResult(stored, verdict.result);
                                 CompleteResult(stored, verdict.finished);
                                 if (verdict.to == v1::Job::SUCCEEDED) {
                                   *stored.job.mutable_result() = std::move(verdict.result);
                                 } else if (IsEnded(verdict.to)) {
                                   *stored.job.mutable_error() = std::move(verdict.error);
                                   if (verdict.finished.has_quantize()) {
                                     *stored.job.mutable_finished() = std::move(verdict.finished);
                                   }
                                 }
                               }));
  AfterCommit([this, job_id] {
    const auto ended = running_.find(job_id);
    *ended->second.log_ended = true;
    running_.erase(ended);
  });
  return absl::OkStatus();
}

}  // namespace quantized
