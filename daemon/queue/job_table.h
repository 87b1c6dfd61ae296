// All jobs that have not ended, in memory, and every change of them: written to the store and to
// memory together. Changes collect in one transaction, which the first of them begins; Commit makes
// them durable, Rollback undoes them in memory as well, so memory never runs ahead of the store.
// Each change of a job comes with the event that tells it, in the same transaction.
//
// A status that a change returns is the store's: the caller rolls back and may try again later.
// Moves that the table of states forbids are faults of ours and stop the program (CHECK).
// Not thread-safe: belongs to the queue's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/queue/job_state.h"
#include "daemon/queue/store.h"
#include "daemon/queue/watch.h"

namespace quantized {

class JobTable {
 public:
  struct Told {
    std::string job_id;
    SharedEvent event;
  };

  // Reads the jobs that have not ended. `store` must outlive the table.
  static absl::StatusOr<std::unique_ptr<JobTable>> Load(Store& store);

  // --- What is there. Pointers hold until the job ends and is committed.
  const StoredJob* Live(const std::string& id) const;
  // In memory or in the store; none: there is no such job.
  absl::StatusOr<std::optional<StoredJob>> Find(const std::string& id);
  size_t live_count() const { return live_.size(); }
  size_t active_count() const { return active_count_; }
  size_t pending_count() const { return pending_.size(); }
  // Jobs that wait, in the order in which they will start: row → id.
  const std::map<int64_t, std::string>& pending() const { return pending_; }
  std::vector<std::string> ActiveIds() const;
  // Whether an active job writes to one of the paths that `spec` writes to.
  bool OutputInUse(const v1::JobSpec& spec) const;

  // --- Changes.
  absl::Status Add(v1::Job job);
  // Moves a live job; `edit` may change what else belongs to it (outcome, counters) first. Tells a
  // StateChange, and Finished when the job ends.
  absl::Status Move(const std::string& id, v1::Job::State to, MovedBy by, const std::string& reason,
                    const std::function<void(StoredJob&)>& edit = nullptr);
  // Tells an event that changes no state.
  absl::Status Tell(const std::string& id, v1::JobEvent event);

  // Durable from here on; returns what may now be told, in order. On failure it has rolled back.
  absl::StatusOr<std::vector<Told>> Commit();
  void Rollback();

  // The store, for rows that the table does not mirror (attempts, checkpoints); begins the
  // transaction if none is open.
  absl::StatusOr<Store*> ForWriting();

 private:
  explicit JobTable(Store& store) : store_(store) {}

  StoredJob& Edit(const std::string& id);
  absl::Status Append(StoredJob& stored, v1::JobEvent event);
  absl::Status Save(const StoredJob& stored, v1::Job::State from, int attempt);
  // Keeps pending_, outputs_ and active_count_ in step with the states of live_.
  void Index(const StoredJob& stored, bool present);

  Store& store_;
  std::unordered_map<std::string, StoredJob> live_;
  std::map<int64_t, std::string> pending_;
  std::multiset<std::string> outputs_;  // of active jobs
  size_t active_count_ = 0;

  // Of the open transaction: jobs as they were (none: new), and what Commit will tell.
  std::unordered_map<std::string, std::optional<StoredJob>> before_;
  std::vector<Told> told_;
};

}  // namespace quantized
