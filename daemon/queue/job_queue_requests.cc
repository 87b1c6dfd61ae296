// The queue: what clients ask.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/error.h"
#include "core/base/ids.h"
#include "core/base/status_macros.h"
#include "daemon/queue/attempt_log.h"
#include "daemon/queue/clock.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/spec_check.h"

namespace quantized {
namespace {

absl::Status NoSuchJob(const std::string& id) {
  return MakeError(Error::kJobNotFound, absl::StrCat("no job '", id.substr(0, 64), "'"),
                   "llm-quantize jobs list shows all jobs");
}

// Where a listing goes on, and for which states: another filter must not use it.
struct PageToken {
  int64_t before_row = std::numeric_limits<int64_t>::max();
  int64_t state_mask = 0;
};

int64_t StateMask(const v1::ListJobsRequest& request) {
  int64_t mask = 0;
  for (const int state : request.states()) mask |= int64_t{1} << state;
  return mask;
}

std::string TokenText(const PageToken& token) {
  return absl::StrCat(token.before_row, ".", token.state_mask);
}

absl::StatusOr<PageToken> CheckList(const v1::ListJobsRequest& request) {
  if (request.page_size() < 0) {
    return MakeError(Error::kInvalidArgument,
                     absl::StrCat("page_size: found ", request.page_size(), ", needed 0 or more"));
  }
  for (const int state : request.states()) {
    if (!v1::Job::State_IsValid(state) || state == v1::Job::STATE_UNSPECIFIED) {
      return MakeError(Error::kInvalidArgument, absl::StrCat("states: ", state, " is no state"));
    }
  }
  PageToken token{.state_mask = StateMask(request)};
  if (request.page_token().empty()) return token;
  const std::vector<std::string> parts = absl::StrSplit(request.page_token(), '.');
  int64_t mask = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &token.before_row) ||
      !absl::SimpleAtoi(parts[1], &mask)) {
    return MakeError(Error::kInvalidArgument, "page_token: is not one of ours");
  }
  if (mask != token.state_mask) {
    return MakeError(Error::kInvalidArgument, "page_token: belongs to a listing of other states");
  }
  return token;
}

}  // namespace

template <typename T>
absl::Status JobQueue::WithJob(const std::string& id, const Reply<T>& reply,
                               const std::function<absl::Status(const StoredJob&)>& use) {
  ASSIGN_OR_RETURN(const std::optional<StoredJob> stored, table_->Find(id));
  if (stored) return use(*stored);
  AfterCommit([reply, id] { reply(NoSuchJob(id)); });
  return absl::OkStatus();
}

v1::Job JobQueue::View(const StoredJob& stored) const {
  v1::Job job = stored.job;
  if (const auto running = running_.find(job.id()); running != running_.end()) {
    *job.mutable_progress() = running->second.progress;
  }
  if (job.state() == v1::Job::PENDING) {
    const auto place = table_->pending().find(stored.row);
    if (place != table_->pending().end()) {
      job.set_queue_position(static_cast<int>(std::distance(table_->pending().begin(), place)) + 1);
    }
  }
  return job;
}

void JobQueue::Submit(const v1::SubmitJobRequest& request, Reply<v1::Job> reply) {
  if (const absl::Status status = CheckSubmit(request); !status.ok()) return reply(status);
  mailbox_.Post({.run = [this, request, reply] { return DoSubmit(request, reply); },
                 .refuse = [reply](absl::Status status) { reply(std::move(status)); }});
}

void JobQueue::KeepToken(const std::string& id, const v1::SubmitJobRequest& request) {
  if (!request.hub_token().empty()) hub_tokens_[id] = request.hub_token();
}

absl::Status JobQueue::DoSubmit(const v1::SubmitJobRequest& request, const Reply<v1::Job>& reply) {
  if (stopping_) {
    AfterCommit([reply] {
      reply(MakeError(Error::kDaemonUnavailable, "the daemon is stopping", "try again"));
    });
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::optional<StoredJob> known,
                   store_->FindJobByRequest(request.request_id()));
  if (known) {
    if (known->job.spec().SerializeAsString() != request.spec().SerializeAsString()) {
      AfterCommit([reply, id = known->job.id()] {
        reply(MakeError(Error::kInvalidArgument,
                        absl::StrCat("request_id: was used for job ", id, " with another spec")));
      });
      return absl::OkStatus();
    }
    return WithJob<v1::Job>(known->job.id(), reply, [&](const StoredJob& stored) {
      if (!IsEnded(stored.job.state())) KeepToken(stored.job.id(), request);
      AfterCommit([reply, job = View(stored)] { reply(job); });
      return absl::OkStatus();
    });
  }
  v1::Job job;
  job.set_id(NewUlid());
  *job.mutable_spec() = request.spec();
  job.set_request_id(request.request_id());
  job.set_state(v1::Job::PENDING);
  job.set_reason("QUEUED");
  *job.mutable_create_time() = TimestampOf(NowMicros());
  const std::string id = job.id();
  RETURN_IF_ERROR(table_->Add(std::move(job)));
  KeepToken(id, request);
  AfterCommit([reply, job = View(*table_->Live(id))] { reply(job); });
  return absl::OkStatus();
}

void JobQueue::Get(const std::string& id, Reply<v1::Job> reply) {
  mailbox_.Post({.run =
                     [this, id, reply] {
                       return WithJob<v1::Job>(id, reply, [&](const StoredJob& stored) {
                         AfterCommit([reply, job = View(stored)] { reply(job); });
                         return absl::OkStatus();
                       });
                     },
                 .refuse = [reply](absl::Status status) { reply(std::move(status)); }});
}

void JobQueue::List(const v1::ListJobsRequest& request, Reply<v1::ListJobsResponse> reply) {
  if (const absl::Status status = CheckList(request).status(); !status.ok()) return reply(status);
  mailbox_.Post({.run = [this, request, reply] { return DoList(request, reply); },
                 .refuse = [reply](absl::Status status) { reply(std::move(status)); }});
}

absl::Status JobQueue::DoList(const v1::ListJobsRequest& request,
                              const Reply<v1::ListJobsResponse>& reply) {
  ASSIGN_OR_RETURN(PageToken token, CheckList(request));
  const int wanted = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  const int limit = std::min(wanted, kMaxPageSize);
  std::vector<v1::Job::State> states;
  for (const int state : request.states()) states.push_back(static_cast<v1::Job::State>(state));
  // One more than asked tells whether there is another page.
  ASSIGN_OR_RETURN(const std::vector<StoredJob> jobs,
                   store_->ListJobs(states, token.before_row, limit + 1));
  v1::ListJobsResponse response;
  for (const StoredJob& stored : jobs) {
    if (response.jobs_size() == limit) {
      response.set_next_page_token(TokenText(token));
      break;
    }
    *response.add_jobs() = View(stored);
    token.before_row = stored.row;
  }
  AfterCommit([reply, response = std::move(response)] { reply(response); });
  return absl::OkStatus();
}

void JobQueue::Cancel(const std::string& id, Reply<v1::Job> reply) {
  mailbox_.Post({.run = [this, id, reply] { return DoCancel(id, reply); },
                 .refuse = [reply](absl::Status status) { reply(std::move(status)); }});
}

absl::Status JobQueue::DoCancel(const std::string& id, const Reply<v1::Job>& reply) {
  return WithJob<v1::Job>(id, reply, [&](const StoredJob& found) -> absl::Status {
    const v1::Job::State state = found.job.state();
    if (state == v1::Job::PENDING) {
      RETURN_IF_ERROR(table_->Move(
          id, v1::Job::CANCELLED, MovedBy::kCancel, "CANCELLED_BY_OWNER",
          [](StoredJob& stored) { *stored.job.mutable_error() = CancelledByOwner(); }));
    } else if (state == v1::Job::STARTING || state == v1::Job::RUNNING) {
      RETURN_IF_ERROR(table_->Move(id, v1::Job::CANCELLING, MovedBy::kCancel, "CANCEL_REQUESTED"));
      AfterCommit([this, id] {
        const auto running = running_.find(id);
        if (running != running_.end()) StopAttempt(running->second, StopCause::kCancel);
      });
    }
    ASSIGN_OR_RETURN(const std::optional<StoredJob> now, table_->Find(id));
    AfterCommit([reply, job = View(*now)] { reply(job); });
    return absl::OkStatus();
  });
}

void JobQueue::FindLog(const std::string& id, int attempt, Reply<AttemptLog> reply) {
  mailbox_.Post({.run = [this, id, attempt, reply] { return DoFindLog(id, attempt, reply); },
                 .refuse = [reply](absl::Status status) { reply(std::move(status)); }});
}

absl::Status JobQueue::DoFindLog(const std::string& id, int attempt,
                                 const Reply<AttemptLog>& reply) {
  return WithJob<AttemptLog>(id, reply, [&](const StoredJob& stored) {
    const int number = attempt == 0 ? stored.job.attempt() : attempt;
    if (number < 1 || number > stored.job.attempt()) {
      AfterCommit([reply, id, number] {
        reply(MakeError(Error::kJobNotFound, absl::StrCat("job ", id, " has no attempt ", number)));
      });
      return absl::OkStatus();
    }
    AttemptLog log{.path = AttemptLogPath(options_.logs_dir, id, number),
                   .ended = std::make_shared<std::atomic<bool>>(true)};
    if (const Running* running = FindRunning(id, number)) log.ended = running->log_ended;
    AfterCommit([reply, log = std::move(log)] { reply(log); });
    return absl::OkStatus();
  });
}

std::shared_ptr<JobWatch> JobQueue::Watch(const std::string& id, int64_t after_sequence) {
  // The watch asks for itself; it does not own itself, hence the weak pointer.
  auto self = std::make_shared<std::weak_ptr<JobWatch>>();
  auto watch = std::make_shared<JobWatch>(id, std::max<int64_t>(after_sequence, 0), [this, self] {
    const std::shared_ptr<JobWatch> asking = self->lock();
    if (!asking) return;
    mailbox_.Post({.run =
                       [this, asking] {
                         AfterCommit([this, asking] { Refill(asking); });
                         return absl::OkStatus();
                       },
                   .refuse = [asking](absl::Status status) { asking->Close(status); }});
  });
  *self = watch;
  return watch;
}

// After the commit: the store then holds nothing that is not durable.
void JobQueue::Refill(const std::shared_ptr<JobWatch>& watch) {
  const absl::StatusOr<std::optional<StoredJob>> stored = table_->Find(watch->job_id());
  if (!stored.ok()) return watch->Close(stored.status());
  if (!*stored) return watch->Close(NoSuchJob(watch->job_id()));
  if (!hub_.Add(watch, kMaxWatches)) {
    return watch->Close(MakeError(Error::kDaemonUnavailable, "the daemon has too many watchers",
                                  "try again in a moment"));
  }
  const v1::Job& job = (*stored)->job;
  // Finished is always told, and no watcher is ahead of its job.
  const int64_t newest = job.last_sequence() - (IsEnded(job.state()) ? 1 : 0);
  if (watch->sequence() > newest) watch->StartAfter(newest);
  absl::StatusOr<std::vector<v1::JobEvent>> events =
      store_->Events((*stored)->row, watch->sequence(), static_cast<int>(JobWatch::kMaxWaiting));
  if (!events.ok()) return watch->Close(events.status());
  SharedEvent snapshot;
  if (events->size() < JobWatch::kMaxWaiting) {
    auto event = std::make_shared<v1::JobEvent>();
    event->set_sequence(job.last_sequence());
    event->set_ephemeral(true);
    *event->mutable_time() = TimestampOf(NowMicros());
    event->set_attempt(job.attempt());
    *event->mutable_snapshot()->mutable_job() = View(**stored);
    snapshot = std::move(event);
  }
  watch->Refill(std::move(*events), std::move(snapshot));
}

}  // namespace quantized
