// The durable memory of the queue: jobs, their attempts, their events and where their checkpoints
// lie, in one SQLite file. The only code that knows the schema (schema.cc).
//
// One connection reads, writes and checkpoints, and it holds the file exclusively: SQLite's WAL
// shared memory is not used, so neither the WAL-reset race of SQLite before 3.51.3 nor a foreign
// reader can come into being. synchronous=FULL: what Commit acknowledged survives a power cut.
//
// Writes happen between Begin and Commit; after a failed write or commit the caller calls Rollback
// and nothing of the transaction has happened. Not thread-safe: the queue's thread owns it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/queue/sqlite.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

// A row of `jobs`.
struct StoredJob {
  int64_t row = 0;  // order of submission
  v1::Job job;      // without progress and queue_position
  int64_t run_us = 0;
  uint64_t peak_memory_bytes = 0;
  int crashes = 0;
  int interruptions = 0;
};

// A row of `attempts`.
struct StoredAttempt {
  int64_t job_row = 0;
  int number = 0;
  std::string boot_id;
  std::optional<int64_t> pid, pid_start_ticks;
  int64_t units_before = 0;
  int64_t run_us = 0;
  uint64_t peak_memory_bytes = 0;
  std::optional<int64_t> exit_code, signal;
  int64_t started_us = 0;
  std::optional<int64_t> ended_us;
};

struct StoredCheckpoint {
  std::string path;
  int64_t units = 0;
};

class Store {
 public:
  struct Options {
    std::filesystem::path path;  // created (0600) when it is not there; its folder must exist
    std::string vfs;             // SQLite VFS; empty: the default one
  };
  // Opens, checks and migrates. Errors: kVersionSkew (newer store), kIo (damaged, foreign, or held
  // by another program), kDiskFull.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const Options& options);

  absl::Status Begin();
  absl::Status Commit();
  void Rollback();
  bool in_transaction() const { return db_->in_transaction(); }

  // Sets `job.row`.
  absl::Status InsertJob(StoredJob& job);
  // Writes all but spec and ids, if the row still is in `from` and its attempt still is `attempt`.
  // False: it is not, nothing was written.
  absl::StatusOr<bool> UpdateJob(const StoredJob& job, v1::Job::State from, int attempt);
  absl::Status AppendEvent(int64_t job_row, const v1::JobEvent& event);
  // Inserts or replaces.
  absl::Status PutAttempt(const StoredAttempt& attempt);
  absl::Status PutCheckpoint(int64_t job_row, const StoredCheckpoint& checkpoint, int64_t now_us);
  // Removes jobs that ended before `ended_before_us` with all that belongs to them; returns how
  // many.
  absl::StatusOr<int64_t> RemoveJobsEndedBefore(int64_t ended_before_us);

  absl::StatusOr<std::optional<StoredJob>> FindJob(const std::string& id);
  absl::StatusOr<std::optional<StoredJob>> FindJobByRequest(const std::string& request_id);
  // Not ended, in order of submission.
  absl::StatusOr<std::vector<StoredJob>> LiveJobs();
  // Newest first, those submitted before row `before_row` and in one of `states` (none: any).
  absl::StatusOr<std::vector<StoredJob>> ListJobs(std::span<const v1::Job::State> states,
                                                  int64_t before_row, int limit);
  // In order, from the one after `after_sequence` on.
  absl::StatusOr<std::vector<v1::JobEvent>> Events(int64_t job_row, int64_t after_sequence,
                                                   int limit);
  absl::StatusOr<std::optional<StoredAttempt>> FindAttempt(int64_t job_row, int number);
  // Those without an end: after a start, what the daemon before left behind.
  absl::StatusOr<std::vector<StoredAttempt>> OpenAttempts();
  absl::StatusOr<std::optional<StoredCheckpoint>> FindCheckpoint(int64_t job_row);
  // What the newest job that finished this output path told of it, whatever became of its others.
  absl::StatusOr<std::optional<v1::QuantizeResult>> ResultAt(const std::string& output_path);

  // Moves the log into the file when it has grown; `idle` lowers the mark from 16,000 pages to
  // 1,000. Not within a transaction.
  absl::Status CheckpointIfNeeded(bool idle);

 private:
  explicit Store(std::unique_ptr<Database> db) : db_(std::move(db)) {}

  // Notes that an ended job has made `outputs`.
  absl::Status MarkFinished(int64_t job_row, const v1::QuantizeResults& outputs);

  // The statement for `sql`, a literal, prepared once.
  absl::StatusOr<Statement*> Prepared(const char* sql);
  static int OnCommit(void* store, sqlite3* db, const char* name, int pages);

  std::unique_ptr<Database> db_;
  std::unordered_map<const char*, Statement> statements_;
  int wal_pages_ = 0;
};

}  // namespace quantized
