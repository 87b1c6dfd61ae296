#include "client/rpc/job_session.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "client/rpc/wait.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

using Clock = std::chrono::steady_clock;

// A daemon that can be asked but not be started is looked for this often before giving up.
constexpr int kDefinitiveFailures = 3;

int MakeEventFd() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(fd >= 0);
  return fd;
}

}  // namespace

JobSession::JobSession(SessionOptions options)
    : options_(std::move(options)),
      wake_fd_(MakeEventFd()),
      thread_([this](std::stop_token stop) { Run(stop); }) {}

JobSession::~JobSession() {
  thread_.request_stop();
  thread_.join();
  // Its thread is gone, so nobody else starts or replaces this one.
  cancel_thread_ = std::jthread();
  close(wake_fd_);
}

std::optional<SessionUpdate> JobSession::Take() {
  MutexLock lock(mutex_);
  if (updates_.empty()) {
    uint64_t count;
    [[maybe_unused]] const ssize_t ignored = read(wake_fd_, &count, sizeof(count));
    return std::nullopt;
  }
  SessionUpdate update = std::move(updates_.front());
  updates_.pop_front();
  return update;
}

void JobSession::Push(SessionUpdate update) {
  MutexLock lock(mutex_);
  updates_.push_back(std::move(update));
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = write(wake_fd_, &one, sizeof(one));
}

void JobSession::Cancel() {
  MutexLock lock(mutex_);
  if (std::exchange(cancel_asked_, true) || job_id_.empty()) return;
  StartCancel(job_id_);
}

void JobSession::StartCancel(const std::string& id) {
  cancel_thread_ = std::jthread([this, id](std::stop_token stop) {
    v1::CancelJobRequest request;
    request.set_id(id);
    const auto job = connection_->CancelJob(request, stop);
    if (!job.ok()) Push(session::Trace{"cancel failed: " + std::string(job.status().message())});
  });
}

void JobSession::CheckSilence() {
  MutexLock lock(mutex_);
  if (stream_ && Clock::now() - last_message_ > options_.silence_limit) stream_->request_stop();
}

void JobSession::Run(std::stop_token stop) {
  ConnectionOptions connection_options = options_.connection;
  connection_options.trace = [this](const std::string& line) { Push(session::Trace{line}); };
  auto connection = Connection::Open(std::move(connection_options), stop);
  if (!connection.ok()) return Push(session::Ended{connection.status()});
  connection_ = std::move(*connection);

  auto job = FindJob(stop);
  if (!job.ok()) return Push(session::Ended{job.status()});
  Push(session::JobKnown{*job});
  {
    MutexLock lock(mutex_);
    job_id_ = job->id();
    if (cancel_asked_) StartCancel(job_id_);
  }
  const NewJob* submitted = std::get_if<NewJob>(&options_.job);
  const bool watch = submitted == nullptr || submitted->watch;
  Push(session::Ended{watch ? Follow(job->id(), stop) : absl::OkStatus()});
}

absl::StatusOr<v1::Job> JobSession::FindJob(std::stop_token stop) {
  if (const NewJob* submitted = std::get_if<NewJob>(&options_.job)) {
    return connection_->SubmitJob(submitted->request, stop);
  }
  const std::string& id = std::get<ExistingJob>(options_.job).id;
  if (!id.empty()) {
    v1::GetJobRequest request;
    request.set_id(id);
    return connection_->GetJob(request, stop);
  }
  v1::ListJobsRequest request;
  request.set_page_size(1);
  for (const auto state :
       {v1::Job::PENDING, v1::Job::STARTING, v1::Job::RUNNING, v1::Job::CANCELLING}) {
    request.add_states(state);
  }
  ASSIGN_OR_RETURN(const v1::ListJobsResponse live, connection_->ListJobs(request, stop));
  if (live.jobs().empty()) {
    return MakeError(Error::kJobNotFound, "no job is waiting or running",
                     "Name a job; 'llm-quantize jobs list' shows them");
  }
  return live.jobs(0);
}

absl::Status JobSession::Follow(const std::string& id, std::stop_token stop) {
  v1::WatchJobRequest request;
  request.set_id(id);
  bool finished = false;
  bool broken = false;
  while (true) {
    std::stop_source stream;
    const std::stop_callback forward(stop, [&] { stream.request_stop(); });
    {
      MutexLock lock(mutex_);
      stream_ = stream;
      last_message_ = Clock::now();
    }
    Connection::StreamEnd end = connection_->WatchJob(
        request,
        [&](const v1::JobEvent& event) {
          if (std::exchange(broken, false)) Push(session::Reconnected{});
          {
            MutexLock lock(mutex_);
            last_message_ = Clock::now();
          }
          if (!event.ephemeral()) {
            if (event.sequence() <= request.after_sequence()) return;
            request.set_after_sequence(event.sequence());
          }
          finished = finished || event.has_finished();
          Push(session::Event{event});
        },
        stream.get_token());
    {
      MutexLock lock(mutex_);
      stream_.reset();
    }
    if (finished) return absl::OkStatus();
    if (stop.stop_requested()) return MakeError(Error::kCancelled, "the watch was given up");
    const bool fell_silent = stream.stop_requested();
    // A stream that ends well without Finished was closed by a daemon that is about to stop.
    if (!end.lost && !fell_silent && !end.status.ok()) return end.status;
    const absl::Status why =
        !end.status.ok() ? end.status
                         : MakeError(Error::kDaemonUnavailable, "the daemon closed the stream");
    if (!std::exchange(broken, true)) Push(session::ConnectionLost{std::string(why.message())});
    RETURN_IF_ERROR(Recover(why, stop));
    SendTokenAgain(stop);
  }
}

// A daemon that has started anew knows the job, and no secret.
void JobSession::SendTokenAgain(std::stop_token stop) {
  const NewJob* submitted = std::get_if<NewJob>(&options_.job);
  if (submitted == nullptr || submitted->request.hub_token().empty()) return;
  const auto job = connection_->SubmitJob(submitted->request, stop);
  if (!job.ok()) Push(session::Trace{"token not sent: " + std::string(job.status().message())});
}

// Looks for the daemon until it is back. Also the pause between two streams.
absl::Status JobSession::Recover(const absl::Status& why, std::stop_token stop) {
  const RetryPolicy& retry = options_.connection.retry;
  Backoff backoff(retry.first_pause, retry.longest_pause);
  const Clock::time_point give_up = Clock::now() + options_.give_up_after;
  absl::Status last = why;
  for (int definitive = 0; Clock::now() < give_up;) {
    if (!WaitFor(backoff.Next(), stop)) {
      return MakeError(Error::kCancelled, "the watch was given up");
    }
    const Connection::ReconnectResult result = connection_->Reconnect(stop);
    if (result.status.ok()) return absl::OkStatus();
    last = result.status;
    if (result.definitive && ++definitive == kDefinitiveFailures) break;
  }
  return MakeError(ErrorOf(last), last.message().empty() ? "" : std::string(last.message()),
                   "The job goes on if its daemon does; come back with 'llm-quantize jobs attach'");
}

}  // namespace quantized
