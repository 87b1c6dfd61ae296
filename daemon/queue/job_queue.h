// The queue: accepts jobs, starts attempts where slots are free, supervises them, tells watchers.
// One thread owns the jobs and the store. Everybody else sends it commands through a mailbox; it
// takes what waits, writes all of it in one transaction (group commit), and only then answers,
// tells watchers and starts workers. Design: docs/design/queue.md.
//
// All public functions are thread-safe and never block, Stop excepted. Replies come once each, on
// the caller's thread or the queue's, and must not block.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/executors/executor.h"
#include "daemon/queue/attempt_link.h"
#include "daemon/queue/job_table.h"
#include "daemon/queue/log_entry.h"
#include "daemon/queue/mailbox.h"
#include "daemon/queue/store.h"
#include "daemon/queue/supervision.h"
#include "daemon/queue/watch.h"
#include "daemon/queue/watch_hub.h"
#include "quantized/v1/service.pb.h"

namespace quantized {

template <typename T>
using Reply = std::function<void(absl::StatusOr<T>)>;

class JobQueue : private AttemptListener {
 public:
  struct Options {
    Store::Options store;
    std::filesystem::path logs_dir;
    std::filesystem::path cache_dir;  // for workers; empty: none
    int slots = 1;                    // attempts at a time
    uint32_t threads = 0;             // of a worker whose job does not say; 0: all processors
    // From the request to stop a worker until it is killed.
    std::chrono::milliseconds stop_grace{10'000};
    // A job whose token of the Hub was lost with the daemon before waits so long for its client to
    // send it again, then goes without.
    std::chrono::milliseconds token_patience{30'000};
    // A watcher hears a KeepAlive after this long without an event.
    std::chrono::milliseconds keep_alive{15'000};
    // How soon a store that failed is tried again.
    std::chrono::milliseconds store_retry{200};
    LogSink log = [](const LogEntry&) {};
    // Called on the queue's thread whenever the last job has ended.
    std::function<void()> on_idle = [] {};
  };
  struct Counts {
    int64_t pending = 0;
    int64_t active = 0;
  };
  struct AttemptLog {
    std::filesystem::path path;
    // Becomes true when nothing is written any more. Shared with the queue, whoever lives longer.
    std::shared_ptr<const std::atomic<bool>> ended;
  };

  static constexpr int kDefaultPageSize = 50;
  static constexpr int kMaxPageSize = 1000;
  static constexpr size_t kMaxWatches = 2048;

  // Opens the store, recovers what a daemon before left unfinished, starts. `executor` must outlive
  // the queue. The caller holds the lock of the store's folder. Errors: those of Store::Open and
  // RecoverJobs.
  static absl::StatusOr<std::unique_ptr<JobQueue>> Start(Options options, Executor& executor);
  ~JobQueue() override;

  // Errors by code are those of the RPCs in proto/quantized/v1/service.proto. Any may be
  // kDaemonUnavailable, or the store's kDiskFull and kIo.
  void Submit(const v1::SubmitJobRequest& request, Reply<v1::Job> reply);
  void Get(const std::string& id, Reply<v1::Job> reply);
  void List(const v1::ListJobsRequest& request, Reply<v1::ListJobsResponse> reply);
  void Cancel(const std::string& id, Reply<v1::Job> reply);
  void FindLog(const std::string& id, int attempt, Reply<AttemptLog> reply);
  // The queue must outlive the calls to Next of the watch.
  std::shared_ptr<JobWatch> Watch(const std::string& id, int64_t after_sequence);

  Counts counts() const { return {.pending = pending_count_, .active = active_count_}; }
  // Jobs that have not ended.
  int64_t live_jobs() const { return live_count_; }
  const Options& options() const { return options_; }

  // Stops workers (their checkpoints stay, their jobs are PENDING), refuses new commands, closes
  // watches, closes the store. Returns when all is done, at most a little after `stop_grace`.
  void Stop();

 private:
  struct Running {
    StoredAttempt row;
    std::chrono::steady_clock::time_point started, saved;
    StopCause cause = StopCause::kNone;
    v1::Progress progress;
    std::shared_ptr<std::atomic<bool>> log_ended = std::make_shared<std::atomic<bool>>(false);
    // The link outlives the attempt that calls it.
    std::unique_ptr<AttemptLink> link;
    std::unique_ptr<Attempt> attempt;
  };

  JobQueue(Options options, Executor& executor);

  // --- The thread (job_queue.cc).
  void Run();
  void Serve(std::vector<Command> commands);
  absl::Status TryTogether(const std::vector<Command>& commands, bool start_jobs);
  void Publish(const std::vector<JobTable::Told>& told);
  void BeginStop();
  void EndRunning();
  std::chrono::steady_clock::time_point NextWake() const;
  // Runs after the commit of what is being done now.
  void AfterCommit(std::function<void()> effect) { effects_.push_back(std::move(effect)); }
  // What was to come of a transaction that has rolled back.
  void ForgetEffects();
  void Log(LogEntry::Level level, const std::string& job, int attempt, const std::string& message);

  // --- Clients' commands (job_queue_requests.cc).
  absl::Status DoSubmit(const v1::SubmitJobRequest& request, const Reply<v1::Job>& reply);
  void KeepToken(const std::string& id, const v1::SubmitJobRequest& request);
  absl::Status DoList(const v1::ListJobsRequest& request, const Reply<v1::ListJobsResponse>& reply);
  absl::Status DoCancel(const std::string& id, const Reply<v1::Job>& reply);
  absl::Status DoFindLog(const std::string& id, int attempt, const Reply<AttemptLog>& reply);
  void Refill(const std::shared_ptr<JobWatch>& watch);
  // Calls `use` with the job, or replies that there is none.
  template <typename T>
  absl::Status WithJob(const std::string& id, const Reply<T>& reply,
                       const std::function<absl::Status(const StoredJob&)>& use);
  // The job as a client sees it: with progress and place in the queue.
  v1::Job View(const StoredJob& stored) const;

  // --- Attempts (job_queue_attempts.cc).
  absl::Status StartJobs();
  absl::Status StartJob(const std::string& id);
  bool AwaitsToken(const v1::Job& job) const;
  void Launch(const v1::StartAttempt& start, const StoredAttempt& row);
  absl::Status OnRunning(const std::string& job_id, int attempt, int64_t pid,
                         uint64_t pid_start_ticks) override;
  absl::Status OnFrame(const std::string& job_id, int attempt,
                       const v1::WorkerFrame& frame) override;
  absl::Status OnEnd(const std::string& job_id, int attempt, const AttemptEnd& end) override;
  absl::Status OnProgress(Running& running, const StoredJob& stored, v1::Progress progress);
  absl::Status SaveRunTime(Running& running);
  // Null: the job has no such attempt, it is over.
  Running* FindRunning(const std::string& job_id, int attempt);
  void StopAttempt(Running& running, StopCause cause);

  const Options options_;
  Executor& executor_;
  Mailbox mailbox_;

  // Of the queue's thread.
  std::unique_ptr<Store> store_;
  std::unique_ptr<JobTable> table_;
  WatchHub hub_;
  std::unordered_map<std::string, Running> running_;
  // Tokens of the Hub of jobs that have not ended. Secrets: they are here and nowhere else.
  std::unordered_map<std::string, std::string> hub_tokens_;
  std::chrono::steady_clock::time_point tokens_awaited_until_;
  std::vector<std::function<void()>> effects_;
  std::vector<Command> must_retry_;  // in order; the store failed
  std::chrono::steady_clock::time_point retry_at_;
  bool store_works_ = true;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point stop_deadline_;

  std::atomic<bool> stop_requested_{false};
  std::atomic<int64_t> pending_count_{0}, active_count_{0}, live_count_{0};
  std::thread thread_;
};

}  // namespace quantized
