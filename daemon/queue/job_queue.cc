// The queue's thread: commands in, one transaction, effects out.
#include "daemon/queue/job_queue.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "daemon/queue/attempt_log.h"
#include "daemon/queue/clock.h"
#include "daemon/queue/recovery.h"

namespace quantized {
namespace {

using std::chrono::steady_clock;

// Commands that share a transaction. More would make the first of them wait for the last.
constexpr size_t kMaxTogether = 64;
// How often watches are looked through for silence; finer where keep_alive is.
constexpr std::chrono::milliseconds kWatchTick{1000};
constexpr std::chrono::hours kKeepLogs{30 * 24};
// Beyond the grace of the workers, for the last commits.
constexpr std::chrono::milliseconds kStopReserve{2000};

// Wakes the thread.
Command Nothing() {
  return {.run = [] { return absl::OkStatus(); }, .refuse = nullptr};
}

}  // namespace

JobQueue::JobQueue(Options options, Executor& executor)
    : options_(std::move(options)),
      executor_(executor),
      tokens_awaited_until_(steady_clock::now() + options_.token_patience) {}

absl::StatusOr<std::unique_ptr<JobQueue>> JobQueue::Start(Options options, Executor& executor) {
  CHECK(options.slots >= 1);
  std::unique_ptr<JobQueue> queue(new JobQueue(std::move(options), executor));
  ASSIGN_OR_RETURN(queue->store_, Store::Open(queue->options_.store));
  ASSIGN_OR_RETURN(queue->table_, JobTable::Load(*queue->store_));
  RETURN_IF_ERROR(RecoverJobs(*queue->store_, *queue->table_));
  RETURN_IF_ERROR(RemoveOldLogs(queue->options_.logs_dir, kKeepLogs));
  // The first pass of the thread starts what was waiting.
  queue->mailbox_.PostAlways(Nothing());
  queue->live_count_ = static_cast<int64_t>(queue->table_->live_count());
  queue->thread_ = std::thread([raw = queue.get()] { raw->Run(); });
  return queue;
}

JobQueue::~JobQueue() { Stop(); }

void JobQueue::Stop() {
  if (!thread_.joinable()) return;
  stop_requested_ = true;
  mailbox_.PostAlways(Nothing());
  thread_.join();
}

void JobQueue::Log(LogEntry::Level level, const std::string& job, int attempt,
                   const std::string& message) {
  options_.log(
      {.level = level, .component = "queue", .job = job, .attempt = attempt, .message = message});
}

void JobQueue::Run() {
  while (true) {
    Serve(mailbox_.Take(kMaxTogether, NextWake()));
    // Not a command: those wait while the store fails.
    if (stop_requested_ && !stopping_) BeginStop();
    const steady_clock::time_point now = steady_clock::now();
    hub_.KeepAlive(now, options_.keep_alive);
    // Ends of workers that cannot be written down are not waited for either.
    if (stopping_ && (running_.empty() || !store_works_ || now >= stop_deadline_)) break;
  }
  mailbox_.Close();
  EndRunning();
  hub_.CloseAll(MakeError(Error::kDaemonUnavailable, "the daemon is stopping"));
  table_.reset();
  store_.reset();
}

void JobQueue::BeginStop() {
  stopping_ = true;
  stop_deadline_ = steady_clock::now() + options_.stop_grace + kStopReserve;
  for (auto& [id, running] : running_) StopAttempt(running, StopCause::kShutdown);
}

steady_clock::time_point JobQueue::NextWake() const {
  const steady_clock::time_point now = steady_clock::now();
  steady_clock::time_point wake = now + std::chrono::hours(1);
  if (!hub_.empty()) wake = std::min(wake, now + std::min(kWatchTick, options_.keep_alive));
  if (!store_works_) wake = std::min(wake, retry_at_);
  if (now < tokens_awaited_until_) wake = std::min(wake, tokens_awaited_until_);
  if (stopping_) wake = std::min(wake, stop_deadline_);
  return wake;
}

void JobQueue::Serve(std::vector<Command> commands) {
  if (store_works_) {
    const absl::Status status = TryTogether(commands, /*start_jobs=*/true);
    if (status.ok()) return;
    store_works_ = false;
    retry_at_ = steady_clock::now();
    Log(LogEntry::Level::kError, "", 0, absl::StrCat("the store fails: ", status.message()));
  }
  // One by one, so that what only reads is still served.
  for (Command& command : commands) {
    if (!command.refuse) {
      must_retry_.push_back(std::move(command));
      continue;
    }
    const absl::Status status = TryTogether({command}, /*start_jobs=*/false);
    if (!status.ok()) command.refuse(status);
  }
  if (steady_clock::now() < retry_at_) return;
  if (TryTogether(must_retry_, /*start_jobs=*/true).ok()) {
    must_retry_.clear();
    store_works_ = true;
    Log(LogEntry::Level::kInfo, "", 0, "the store works again");
  } else {
    retry_at_ = steady_clock::now() + options_.store_retry;
  }
}

absl::Status JobQueue::TryTogether(const std::vector<Command>& commands, bool start_jobs) {
  absl::Status status;
  for (const Command& command : commands) {
    if (status.ok()) status = command.run();
  }
  if (status.ok() && start_jobs) status = StartJobs();
  if (!status.ok()) {
    table_->Rollback();
    ForgetEffects();
    return status;
  }
  const absl::StatusOr<std::vector<JobTable::Told>> told = table_->Commit();
  if (!told.ok()) {
    ForgetEffects();
    return told.status();
  }
  pending_count_ = static_cast<int64_t>(table_->pending_count());
  active_count_ = static_cast<int64_t>(table_->active_count());
  const int64_t live_before = live_count_.exchange(static_cast<int64_t>(table_->live_count()));
  Publish(*told);
  // An effect may bring others about.
  for (size_t i = 0; i < effects_.size(); ++i) {
    const std::function<void()> effect = std::move(effects_[i]);
    effect();
  }
  effects_.clear();
  if (live_before > 0 && live_count_ == 0) options_.on_idle();
  if (const absl::Status moved = store_->CheckpointIfNeeded(/*idle=*/commands.size() < 2);
      !moved.ok()) {
    Log(LogEntry::Level::kWarning, "", 0, absl::StrCat("store checkpoint: ", moved.message()));
  }
  return absl::OkStatus();
}

void JobQueue::ForgetEffects() {
  effects_.clear();
  std::erase_if(hub_tokens_,
                [this](const auto& kept) { return table_->Live(kept.first) == nullptr; });
}

void JobQueue::Publish(const std::vector<JobTable::Told>& told) {
  for (const JobTable::Told& tell : told) {
    hub_.Push(tell.job_id, tell.event);
    if (tell.event->has_finished()) hub_tokens_.erase(tell.job_id);
    if (!tell.event->has_state()) continue;
    const v1::StateChange& change = tell.event->state();
    Log(LogEntry::Level::kInfo, tell.job_id, tell.event->attempt(),
        absl::StrCat("state ", v1::Job::State_Name(change.to()),
                     change.reason().empty() ? "" : absl::StrCat(" (", change.reason(), ")")));
  }
}

void JobQueue::EndRunning() {
  // Workers that did not end in time are killed here; their ends are not reported any more.
  std::unordered_map<std::string, Running> left = std::exchange(running_, {});
  absl::Status status;
  for (auto& [id, running] : left) {
    running.attempt.reset();
    *running.log_ended = true;
    const bool cancelling = table_->Live(id)->job.state() == v1::Job::CANCELLING;
    running.row.ended_us = NowMicros();
    if (status.ok()) {
      status =
          table_->Move(id, cancelling ? v1::Job::CANCELLED : v1::Job::PENDING, MovedBy::kShutdown,
                       cancelling ? "CANCELLED_BY_OWNER" : "DAEMON_STOPPED",
                       [&, &row = running.row](StoredJob& stored) {
                         AccountAttempt(row, row.units_before, stored);
                         if (cancelling) *stored.job.mutable_error() = CancelledByOwner();
                       });
    }
    if (status.ok()) status = store_->PutAttempt(running.row);
  }
  if (status.ok()) {
    const absl::StatusOr<std::vector<JobTable::Told>> told = table_->Commit();
    status = told.status();
    if (told.ok()) Publish(*told);
  }
  // The next daemon finds the jobs unfinished and recovers them.
  if (!status.ok()) {
    table_->Rollback();
    Log(LogEntry::Level::kError, "", 0,
        absl::StrCat("jobs left to the next start: ", status.message()));
  }
}

}  // namespace quantized
