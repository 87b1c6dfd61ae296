#include "daemon/queue/job_table.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "daemon/queue/clock.h"

namespace quantized {

absl::StatusOr<std::unique_ptr<JobTable>> JobTable::Load(Store& store) {
  std::unique_ptr<JobTable> table(new JobTable(store));
  ASSIGN_OR_RETURN(std::vector<StoredJob> jobs, store.LiveJobs());
  for (StoredJob& stored : jobs) {
    table->Index(stored, /*present=*/true);
    std::string id = stored.job.id();
    table->live_.emplace(std::move(id), std::move(stored));
  }
  return table;
}

const StoredJob* JobTable::Live(const std::string& id) const {
  const auto found = live_.find(id);
  return found == live_.end() ? nullptr : &found->second;
}

absl::StatusOr<std::optional<StoredJob>> JobTable::Find(const std::string& id) {
  if (const StoredJob* live = Live(id)) return *live;
  return store_.FindJob(id);
}

std::vector<std::string> JobTable::ActiveIds() const {
  std::vector<std::string> ids;
  for (const auto& [id, stored] : live_) {
    if (IsActive(stored.job.state())) ids.push_back(id);
  }
  return ids;
}

bool JobTable::OutputInUse(const v1::JobSpec& spec) const {
  return std::ranges::any_of(spec.quantize().outputs(), [&](const v1::OutputSpec& output) {
    return outputs_.contains(output.path());
  });
}

absl::StatusOr<Store*> JobTable::ForWriting() {
  if (!store_.in_transaction()) {
    RETURN_IF_ERROR(store_.Begin());
  }
  return &store_;
}

void JobTable::Index(const StoredJob& stored, bool present) {
  if (stored.job.state() == v1::Job::PENDING) {
    if (present) {
      pending_.emplace(stored.row, stored.job.id());
    } else {
      pending_.erase(stored.row);
    }
  }
  if (!IsActive(stored.job.state())) return;
  active_count_ += present ? 1 : -1;
  for (const v1::OutputSpec& output : stored.job.spec().quantize().outputs()) {
    if (present) {
      outputs_.insert(output.path());
    } else {
      outputs_.erase(outputs_.find(output.path()));
    }
  }
}

StoredJob& JobTable::Edit(const std::string& id) {
  const auto found = live_.find(id);
  CHECK(found != live_.end());
  before_.try_emplace(id, found->second);
  return found->second;
}

absl::Status JobTable::Append(StoredJob& stored, v1::JobEvent event) {
  event.set_sequence(stored.job.last_sequence() + 1);
  *event.mutable_time() = TimestampOf(NowMicros());
  event.set_attempt(stored.job.attempt());
  RETURN_IF_ERROR(store_.AppendEvent(stored.row, event));
  stored.job.set_last_sequence(event.sequence());
  told_.push_back({stored.job.id(), std::make_shared<const v1::JobEvent>(std::move(event))});
  return absl::OkStatus();
}

absl::Status JobTable::Save(const StoredJob& stored, v1::Job::State from, int attempt) {
  ASSIGN_OR_RETURN(const bool updated, store_.UpdateJob(stored, from, attempt));
  CHECK(updated);  // this thread alone changes the store
  return absl::OkStatus();
}

absl::Status JobTable::Add(v1::Job job) {
  CHECK(IsAllowed(v1::Job::STATE_UNSPECIFIED, job.state(), MovedBy::kSubmit));
  RETURN_IF_ERROR(ForWriting().status());
  StoredJob stored{.job = std::move(job)};
  RETURN_IF_ERROR(store_.InsertJob(stored));
  v1::JobEvent event;
  event.mutable_state()->set_to(stored.job.state());
  event.mutable_state()->set_reason(stored.job.reason());
  RETURN_IF_ERROR(Append(stored, std::move(event)));
  RETURN_IF_ERROR(Save(stored, stored.job.state(), stored.job.attempt()));
  const std::string id = stored.job.id();
  before_.emplace(id, std::nullopt);
  Index(stored, /*present=*/true);
  live_.emplace(id, std::move(stored));
  return absl::OkStatus();
}

absl::Status JobTable::Move(const std::string& id, v1::Job::State to, MovedBy by,
                            const std::string& reason,
                            const std::function<void(StoredJob&)>& edit) {
  RETURN_IF_ERROR(ForWriting().status());
  StoredJob& stored = Edit(id);
  v1::Job& job = stored.job;
  const v1::Job::State from = job.state();
  const int attempt = job.attempt();
  CHECK(IsAllowed(from, to, by));
  Index(stored, /*present=*/false);
  job.set_state(to);
  job.set_reason(reason);
  if (edit) edit(stored);
  if (IsEnded(to)) *job.mutable_end_time() = TimestampOf(NowMicros());
  Index(stored, /*present=*/true);

  v1::JobEvent change;
  change.mutable_state()->set_from(from);
  change.mutable_state()->set_to(to);
  change.mutable_state()->set_reason(reason);
  RETURN_IF_ERROR(Append(stored, std::move(change)));
  if (IsEnded(to)) {
    v1::JobEvent finished;
    finished.mutable_finished()->set_state(to);
    if (job.has_result()) *finished.mutable_finished()->mutable_result() = job.result();
    if (job.has_error()) *finished.mutable_finished()->mutable_error() = job.error();
    if (job.has_finished()) *finished.mutable_finished()->mutable_finished() = job.finished();
    RETURN_IF_ERROR(Append(stored, std::move(finished)));
  }
  return Save(stored, from, attempt);
}

absl::Status JobTable::Tell(const std::string& id, v1::JobEvent event) {
  RETURN_IF_ERROR(ForWriting().status());
  StoredJob& stored = Edit(id);
  if (event.has_phase()) stored.job.set_phase(event.phase().phase());
  RETURN_IF_ERROR(Append(stored, std::move(event)));
  return Save(stored, stored.job.state(), stored.job.attempt());
}

absl::StatusOr<std::vector<JobTable::Told>> JobTable::Commit() {
  if (store_.in_transaction()) {
    if (absl::Status status = store_.Commit(); !status.ok()) {
      Rollback();
      return status;
    }
  }
  for (const auto& [id, before] : before_) {
    const auto found = live_.find(id);
    if (IsEnded(found->second.job.state())) live_.erase(found);
  }
  before_.clear();
  return std::exchange(told_, {});
}

void JobTable::Rollback() {
  store_.Rollback();
  for (auto& [id, before] : before_) {
    const auto found = live_.find(id);
    Index(found->second, /*present=*/false);
    if (before) {
      found->second = std::move(*before);
      Index(found->second, /*present=*/true);
    } else {
      live_.erase(found);
    }
  }
  before_.clear();
  told_.clear();
}

}  // namespace quantized
