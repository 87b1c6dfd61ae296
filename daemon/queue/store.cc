#include "daemon/queue/store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "daemon/queue/clock.h"
#include "daemon/queue/job_state.h"
#include "daemon/queue/schema.h"

namespace quantized {
namespace {

// A passive checkpoint of 1,000 pages (4 MiB) takes milliseconds; waiting for 16,000 keeps a busy
// queue from paying it again and again.
constexpr int kIdleWalPages = 1000;
constexpr int kBusyWalPages = 16000;

#define JOB_COLUMNS                                                                             \
  "id, ulid, request_id, spec, state, reason, phase, attempt, last_sequence, crashes, "         \
  "interruptions, run_us, peak_memory_bytes, result, error, created_us, started_us, ended_us, " \
  "finished "

#define ATTEMPT_COLUMNS                                                                   \
  "job, number, boot_id, pid, pid_start_ticks, units_before, run_us, peak_memory_bytes, " \
  "exit_code, signal, started_us, ended_us "

absl::Status Damaged(std::string_view what, int64_t job_row) {
  return MakeError(Error::kIo, absl::StrCat("store is damaged: ", std::string(what), " of job row ",
                                            job_row, " cannot be read"));
}

template <typename M>
bool Parse(std::string_view bytes, M& message) {
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

absl::StatusOr<StoredJob> JobOfRow(const Statement& row) {
  StoredJob stored;
  v1::Job& job = stored.job;
  stored.row = row.Int(0);
  job.set_id(std::string(row.Bytes(1)));
  job.set_request_id(std::string(row.Bytes(2)));
  if (!Parse(row.Bytes(3), *job.mutable_spec())) return Damaged("spec", stored.row);
  job.set_state(static_cast<v1::Job::State>(row.Int(4)));
  job.set_reason(std::string(row.Bytes(5)));
  job.set_phase(static_cast<v1::Phase>(row.Int(6)));
  job.set_attempt(static_cast<int>(row.Int(7)));
  job.set_last_sequence(row.Int(8));
  stored.crashes = static_cast<int>(row.Int(9));
  stored.interruptions = static_cast<int>(row.Int(10));
  stored.run_us = row.Int(11);
  stored.peak_memory_bytes = static_cast<uint64_t>(row.Int(12));
  if (!row.IsNull(13) && !Parse(row.Bytes(13), *job.mutable_result())) {
    return Damaged("result", stored.row);
  }
  if (!row.IsNull(14) && !Parse(row.Bytes(14), *job.mutable_error())) {
    return Damaged("error", stored.row);
  }
  *job.mutable_create_time() = TimestampOf(row.Int(15));
  if (!row.IsNull(16)) *job.mutable_start_time() = TimestampOf(row.Int(16));
  if (!row.IsNull(17)) *job.mutable_end_time() = TimestampOf(row.Int(17));
  if (!row.IsNull(18) && !Parse(row.Bytes(18), *job.mutable_finished())) {
    return Damaged("what is finished", stored.row);
  }
  return stored;
}

// The next row; none: the statement is done and reset, as it is after an error.
absl::StatusOr<std::optional<StoredJob>> NextJob(Statement& statement) {
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return std::nullopt;
  absl::StatusOr<StoredJob> job = JobOfRow(statement);
  if (!job.ok()) {
    statement.Reset();
    return job.status();
  }
  return std::move(*job);
}

// The first row alone.
absl::StatusOr<std::optional<StoredJob>> OneJob(Statement& statement) {
  absl::StatusOr<std::optional<StoredJob>> job = NextJob(statement);
  if (job.ok() && *job) statement.Reset();
  return job;
}

absl::StatusOr<std::vector<StoredJob>> AllJobs(Statement& statement) {
  std::vector<StoredJob> jobs;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<StoredJob> job, NextJob(statement));
    if (!job) return jobs;
    jobs.push_back(std::move(*job));
  }
}

StoredAttempt AttemptOfRow(const Statement& row) {
  const auto optional = [&](int column) {
    return row.IsNull(column) ? std::nullopt : std::optional<int64_t>(row.Int(column));
  };
  return {.job_row = row.Int(0),
          .number = static_cast<int>(row.Int(1)),
          .boot_id = std::string(row.Bytes(2)),
          .pid = optional(3),
          .pid_start_ticks = optional(4),
          .units_before = row.Int(5),
          .run_us = row.Int(6),
          .peak_memory_bytes = static_cast<uint64_t>(row.Int(7)),
          .exit_code = optional(8),
          .signal = optional(9),
          .started_us = row.Int(10),
          .ended_us = optional(11)};
}

// SQLite gives its log the mode of the file, so the file is made before SQLite would.
absl::Status CreatePrivateFile(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoError(errno, "open store", path.string());
  close(fd);
  return absl::OkStatus();
}

absl::Status CheckIntegrity(Database& db, const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::string found, db.QueryText("PRAGMA quick_check(1)"));
  if (found == "ok") return absl::OkStatus();
  return MakeError(Error::kIo, absl::StrCat("store ", path.string(), " is damaged: ", found),
                   absl::StrCat("move ", path.string(), " away or restore it from a backup"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const Options& options) {
  if (options.vfs.empty()) {
    RETURN_IF_ERROR(CreatePrivateFile(options.path));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Database> db, Database::Open(options.path, options.vfs));
  // Exclusive first: the log is then opened without shared memory.
  RETURN_IF_ERROR(db->Execute("PRAGMA locking_mode = EXCLUSIVE"));
  ASSIGN_OR_RETURN(const std::string mode, db->QueryText("PRAGMA journal_mode = WAL"));
  if (mode != "wal") {
    return MakeError(Error::kIo, absl::StrCat("store ", options.path.string(),
                                              ": journal mode is '", mode, "', needed 'wal'"));
  }
  RETURN_IF_ERROR(db->Execute(
      "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
      "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"
      "PRAGMA wal_autocheckpoint = 0"));
  RETURN_IF_ERROR(CheckIntegrity(*db, options.path));
  RETURN_IF_ERROR(MigrateSchema(*db));
  std::unique_ptr<Store> store(new Store(std::move(db)));
  sqlite3_wal_hook(store->db_->handle(), &Store::OnCommit, store.get());
  return store;
}

int Store::OnCommit(void* store, sqlite3*, const char*, int pages) {
  static_cast<Store*>(store)->wal_pages_ = pages;
  return SQLITE_OK;
}

absl::StatusOr<Statement*> Store::Prepared(const char* sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) {
    ASSIGN_OR_RETURN(Statement statement, db_->Prepare(sql));
    found = statements_.emplace(sql, std::move(statement)).first;
  }
  return &found->second;
}

absl::Status Store::Begin() {
  ASSIGN_OR_RETURN(Statement * begin, Prepared("BEGIN IMMEDIATE"));
  return begin->Run();
}

absl::Status Store::Commit() {
  ASSIGN_OR_RETURN(Statement * commit, Prepared("COMMIT"));
  return commit->Run();
}

void Store::Rollback() {
  // After some errors SQLite has rolled back already.
  if (db_->in_transaction()) db_->Execute("ROLLBACK").IgnoreError();
}

absl::Status Store::InsertJob(StoredJob& stored) {
  const v1::Job& job = stored.job;
  ASSIGN_OR_RETURN(Statement * insert,
                   Prepared("INSERT INTO jobs(ulid, request_id, spec, state, reason, phase, "
                            "attempt, last_sequence, crashes, interruptions, run_us, "
                            "peak_memory_bytes, created_us) "
                            "VALUES(?1, ?2, ?3, ?4, ?5, 0, 0, ?6, 0, 0, 0, 0, ?7)"));
  insert->Bind(std::string_view(job.id()), std::string_view(job.request_id()),
               Blob{job.spec().SerializeAsString()}, int64_t{job.state()},
               std::string_view(job.reason()), job.last_sequence(), MicrosOf(job.create_time()));
  RETURN_IF_ERROR(insert->Run());
  stored.row = db_->last_insert_id();
  for (const v1::OutputSpec& output : job.spec().quantize().outputs()) {
    ASSIGN_OR_RETURN(Statement * add,
                     Prepared("INSERT INTO outputs(job, path, finished) VALUES(?1, ?2, 0)"));
    add->Bind(stored.row, std::string_view(output.path()));
    RETURN_IF_ERROR(add->Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Store::UpdateJob(const StoredJob& stored, v1::Job::State from, int attempt) {
  const v1::Job& job = stored.job;
  ASSIGN_OR_RETURN(Statement * update,
                   Prepared("UPDATE jobs SET state = ?4, reason = ?5, phase = ?6, attempt = ?7, "
                            "last_sequence = ?8, crashes = ?9, interruptions = ?10, run_us = ?11, "
                            "peak_memory_bytes = ?12, result = ?13, error = ?14, started_us = ?15, "
                            "ended_us = ?16, finished = ?17 "
                            "WHERE id = ?1 AND state = ?2 AND attempt = ?3"));
  const std::string result = job.result().SerializeAsString();
  const std::string error = job.error().SerializeAsString();
  const std::string finished = job.finished().SerializeAsString();
  update->Bind(stored.row, int64_t{from}, int64_t{attempt}, int64_t{job.state()},
               std::string_view(job.reason()), int64_t{job.phase()}, int64_t{job.attempt()},
               job.last_sequence(), int64_t{stored.crashes}, int64_t{stored.interruptions},
               stored.run_us, static_cast<int64_t>(stored.peak_memory_bytes),
               job.has_result() ? std::optional(Blob{result}) : std::nullopt,
               job.has_error() ? std::optional(Blob{error}) : std::nullopt,
               job.has_start_time() ? std::optional(MicrosOf(job.start_time())) : std::nullopt,
               job.has_end_time() ? std::optional(MicrosOf(job.end_time())) : std::nullopt,
               job.has_finished() ? std::optional(Blob{finished}) : std::nullopt);
  RETURN_IF_ERROR(update->Run());
  if (db_->changes() != 1) return false;
  RETURN_IF_ERROR(MarkFinished(stored.row, job.result().quantize()));
  RETURN_IF_ERROR(MarkFinished(stored.row, job.finished().quantize()));
  return true;
}

absl::Status Store::MarkFinished(int64_t job_row, const v1::QuantizeResults& outputs) {
  for (const v1::QuantizeResult& output : outputs.outputs()) {
    ASSIGN_OR_RETURN(Statement * mark,
                     Prepared("UPDATE outputs SET finished = 1 WHERE job = ?1 AND path = ?2"));
    mark->Bind(job_row, std::string_view(output.output_path()));
    RETURN_IF_ERROR(mark->Run());
  }
  return absl::OkStatus();
}

absl::Status Store::AppendEvent(int64_t job_row, const v1::JobEvent& event) {
  ASSIGN_OR_RETURN(Statement * insert,
                   Prepared("INSERT INTO events(job, sequence, body) VALUES(?1, ?2, ?3)"));
  insert->Bind(job_row, event.sequence(), Blob{event.SerializeAsString()});
  return insert->Run();
}

absl::Status Store::PutAttempt(const StoredAttempt& attempt) {
  ASSIGN_OR_RETURN(Statement * put,
                   Prepared("INSERT OR REPLACE INTO attempts(" ATTEMPT_COLUMNS
                            ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"));
  put->Bind(attempt.job_row, int64_t{attempt.number}, std::string_view(attempt.boot_id),
            attempt.pid, attempt.pid_start_ticks, attempt.units_before, attempt.run_us,
            static_cast<int64_t>(attempt.peak_memory_bytes), attempt.exit_code, attempt.signal,
            attempt.started_us, attempt.ended_us);
  return put->Run();
}

absl::Status Store::PutCheckpoint(int64_t job_row, const StoredCheckpoint& checkpoint,
                                  int64_t now_us) {
  ASSIGN_OR_RETURN(Statement * put,
                   Prepared("INSERT OR REPLACE INTO checkpoints(job, path, units, saved_us) "
                            "VALUES(?1, ?2, ?3, ?4)"));
  put->Bind(job_row, std::string_view(checkpoint.path), checkpoint.units, now_us);
  return put->Run();
}

absl::StatusOr<int64_t> Store::RemoveJobsEndedBefore(int64_t ended_before_us) {
  ASSIGN_OR_RETURN(Statement * remove, Prepared("DELETE FROM jobs WHERE ended_us < ?1"));
  remove->Bind(ended_before_us);
  RETURN_IF_ERROR(remove->Run());
  return db_->changes();
}

absl::StatusOr<std::optional<StoredJob>> Store::FindJob(const std::string& id) {
  ASSIGN_OR_RETURN(Statement * find, Prepared("SELECT " JOB_COLUMNS "FROM jobs WHERE ulid = ?1"));
  find->Bind(std::string_view(id));
  return OneJob(*find);
}

absl::StatusOr<std::optional<StoredJob>> Store::FindJobByRequest(const std::string& request_id) {
  ASSIGN_OR_RETURN(Statement * find,
                   Prepared("SELECT " JOB_COLUMNS "FROM jobs WHERE request_id = ?1"));
  find->Bind(std::string_view(request_id));
  return OneJob(*find);
}

absl::StatusOr<std::vector<StoredJob>> Store::LiveJobs() {
  ASSIGN_OR_RETURN(Statement * list,
                   Prepared("SELECT " JOB_COLUMNS "FROM jobs WHERE ended_us IS NULL ORDER BY id"));
  return AllJobs(*list);
}

absl::StatusOr<std::vector<StoredJob>> Store::ListJobs(std::span<const v1::Job::State> states,
                                                       int64_t before_row, int limit) {
  int64_t mask = states.empty() ? ~int64_t{0} : 0;
  for (const v1::Job::State state : states) mask |= int64_t{1} << state;
  // Of many ended jobs and few live ones, the live ones are found through their index.
  const bool live_only = !states.empty() && std::ranges::none_of(states, IsEnded);
  ASSIGN_OR_RETURN(
      Statement * list,
      Prepared(live_only ? "SELECT " JOB_COLUMNS "FROM jobs WHERE ended_us IS NULL AND id < ?1 AND "
                           "(?2 >> state) & 1 ORDER BY id DESC LIMIT ?3"
                         : "SELECT " JOB_COLUMNS "FROM jobs WHERE id < ?1 AND (?2 >> state) & 1 "
                           "ORDER BY id DESC LIMIT ?3"));
  list->Bind(before_row, mask, int64_t{limit});
  return AllJobs(*list);
}

absl::StatusOr<std::vector<v1::JobEvent>> Store::Events(int64_t job_row, int64_t after_sequence,
                                                        int limit) {
  ASSIGN_OR_RETURN(Statement * list, Prepared("SELECT body FROM events WHERE job = ?1 AND "
                                              "sequence > ?2 ORDER BY sequence LIMIT ?3"));
  list->Bind(job_row, after_sequence, int64_t{limit});
  std::vector<v1::JobEvent> events;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, list->Step());
    if (!row) return events;
    if (!Parse(list->Bytes(0), events.emplace_back())) {
      list->Reset();
      return Damaged("an event", job_row);
    }
  }
}

absl::StatusOr<std::optional<StoredAttempt>> Store::FindAttempt(int64_t job_row, int number) {
  ASSIGN_OR_RETURN(Statement * find, Prepared("SELECT " ATTEMPT_COLUMNS
                                              "FROM attempts WHERE job = ?1 AND number = ?2"));
  find->Bind(job_row, int64_t{number});
  ASSIGN_OR_RETURN(const bool row, find->Step());
  if (!row) return std::nullopt;
  StoredAttempt attempt = AttemptOfRow(*find);
  find->Reset();
  return attempt;
}

absl::StatusOr<std::vector<StoredAttempt>> Store::OpenAttempts() {
  // Only a job that has not ended can have an open attempt.
  ASSIGN_OR_RETURN(Statement * list,
                   Prepared("SELECT " ATTEMPT_COLUMNS "FROM attempts WHERE ended_us IS NULL AND "
                            "job IN (SELECT id FROM jobs WHERE jobs.ended_us IS NULL) "
                            "ORDER BY job"));
  std::vector<StoredAttempt> attempts;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, list->Step());
    if (!row) return attempts;
    attempts.push_back(AttemptOfRow(*list));
  }
}

absl::StatusOr<std::optional<StoredCheckpoint>> Store::FindCheckpoint(int64_t job_row) {
  ASSIGN_OR_RETURN(Statement * find,
                   Prepared("SELECT path, units FROM checkpoints WHERE job = ?1"));
  find->Bind(job_row);
  ASSIGN_OR_RETURN(const bool row, find->Step());
  if (!row) return std::nullopt;
  StoredCheckpoint checkpoint{.path = std::string(find->Bytes(0)), .units = find->Int(1)};
  find->Reset();
  return checkpoint;
}

absl::StatusOr<std::optional<v1::QuantizeResult>> Store::ResultAt(const std::string& output_path) {
  ASSIGN_OR_RETURN(Statement * find,
                   Prepared("SELECT " JOB_COLUMNS "FROM jobs WHERE id = (SELECT max(job) "
                            "FROM outputs WHERE path = ?1 AND finished = 1)"));
  find->Bind(std::string_view(output_path));
  ASSIGN_OR_RETURN(const std::optional<StoredJob> job, OneJob(*find));
  if (!job) return std::nullopt;
  const v1::JobResult& result = job->job.has_result() ? job->job.result() : job->job.finished();
  for (const v1::QuantizeResult& output : result.quantize().outputs()) {
    if (output.output_path() == output_path) return output;
  }
  return Damaged("the result", job->row);
}

absl::Status Store::CheckpointIfNeeded(bool idle) {
  CHECK(!db_->in_transaction());
  if (wal_pages_ < (idle ? kIdleWalPages : kBusyWalPages)) return absl::OkStatus();
  wal_pages_ = 0;
  // Nobody else reads, so all of the log can be moved and it starts anew.
  return db_->Execute("PRAGMA wal_checkpoint(RESTART)");
}

}  // namespace quantized
