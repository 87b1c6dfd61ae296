#include "client/rpc/fake_daemon.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <utility>

#include "core/base/check.h"
#include "core/base/ids.h"
#include "core/base/version.h"

namespace quantized::testing {
namespace {

constexpr char kDetailTrailer[] = "quantized-error-bin";

}  // namespace

FakeDaemon::FakeDaemon(std::string path) : path_(std::move(path)) {
  info_.set_version(std::string(kVersion));
  info_.set_api_version(kApiVersion);
  info_.set_embedded(true);
  Start();
}

FakeDaemon::~FakeDaemon() { Stop(); }

void FakeDaemon::Start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + path_, grpc::InsecureServerCredentials());
  builder.RegisterService(static_cast<v1::Jobs::Service*>(this));
  builder.RegisterService(static_cast<v1::Server::Service*>(this));
  server_ = builder.BuildAndStart();
  CHECK(server_ != nullptr);
}

void FakeDaemon::Stop() {
  if (server_ == nullptr) return;
  BreakStreams();
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

void FakeDaemon::SetInfo(const v1::ServerInfo& info) {
  MutexLock lock(mutex_);
  info_ = info;
}

void FakeDaemon::FailNext(int count, grpc::StatusCode code) {
  MutexLock lock(mutex_);
  failures_left_ = count;
  failure_ = code;
}

void FakeDaemon::RefuseSubmit(const v1::ErrorDetail& detail) {
  MutexLock lock(mutex_);
  refusal_ = detail;
}

void FakeDaemon::Say(v1::JobEvent event) {
  MutexLock lock(mutex_);
  if (!event.ephemeral()) job_.set_last_sequence(job_.last_sequence() + 1);
  event.set_sequence(job_.last_sequence());
  if (event.has_finished()) job_.set_state(event.finished().state());
  events_.push_back(std::move(event));
  changed_.NotifyAll();
}

void FakeDaemon::BreakStreams() {
  MutexLock lock(mutex_);
  ++generation_;
  changed_.NotifyAll();
}

void FakeDaemon::SetCancelEnds(bool ends) {
  MutexLock lock(mutex_);
  cancel_ends_ = ends;
}

void FakeDaemon::SetSilent(bool silent) {
  MutexLock lock(mutex_);
  silent_ = silent;
  changed_.NotifyAll();
}

v1::Job FakeDaemon::job() const {
  MutexLock lock(mutex_);
  return job_;
}

std::vector<int64_t> FakeDaemon::watched_after() const {
  MutexLock lock(mutex_);
  return watched_after_;
}

std::vector<std::string> FakeDaemon::request_ids() const {
  MutexLock lock(mutex_);
  return request_ids_;
}

void FakeDaemon::AwaitShutdown() {
  MutexLock lock(mutex_);
  while (!shutdown_asked_) changed_.Wait(mutex_);
}

void FakeDaemon::AwaitWatchers(int count) {
  MutexLock lock(mutex_);
  while (watchers_ != count) changed_.Wait(mutex_);
}

void FakeDaemon::AwaitCancel() {
  MutexLock lock(mutex_);
  while (cancels_ == 0) changed_.Wait(mutex_);
}

grpc::Status FakeDaemon::OrderedFailure() {
  MutexLock lock(mutex_);
  if (failures_left_ == 0) return grpc::Status::OK;
  --failures_left_;
  return {failure_, "as the test ordered"};
}

grpc::Status FakeDaemon::SubmitJob(grpc::ServerContext* context,
                                   const v1::SubmitJobRequest* request, v1::Job* job) {
  if (grpc::Status failure = OrderedFailure(); !failure.ok()) return failure;
  MutexLock lock(mutex_);
  request_ids_.push_back(request->request_id());
  if (refusal_.error() != 0) {
    context->AddTrailingMetadata(kDetailTrailer, refusal_.SerializeAsString());
    return {grpc::StatusCode::INVALID_ARGUMENT, refusal_.message()};
  }
  if (job_.id().empty()) {
    job_.set_id(NewUlid());
    job_.set_state(v1::Job::RUNNING);
    job_.set_request_id(request->request_id());
    *job_.mutable_spec() = request->spec();
  }
  *job = job_;
  return grpc::Status::OK;
}

grpc::Status FakeDaemon::GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                                v1::Job* job) {
  if (grpc::Status failure = OrderedFailure(); !failure.ok()) return failure;
  MutexLock lock(mutex_);
  if (request->id() != job_.id()) return {grpc::StatusCode::NOT_FOUND, "no such job"};
  *job = job_;
  return grpc::Status::OK;
}

grpc::Status FakeDaemon::ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*,
                                  v1::ListJobsResponse* response) {
  if (grpc::Status failure = OrderedFailure(); !failure.ok()) return failure;
  MutexLock lock(mutex_);
  if (!job_.id().empty()) *response->add_jobs() = job_;
  return grpc::Status::OK;
}

grpc::Status FakeDaemon::WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                                  grpc::ServerWriter<v1::JobEvent>* writer) {
  MutexLock lock(mutex_);
  watched_after_.push_back(request->after_sequence());
  const int generation = generation_;
  ++watchers_;
  changed_.NotifyAll();
  grpc::Status result = grpc::Status::OK;
  for (size_t next = 0;;) {
    if (generation != generation_ || context->IsCancelled()) {
      result = {grpc::StatusCode::UNAVAILABLE, "the stream was broken"};
      break;
    }
    if (silent_ || next == events_.size()) {
      // Cancelled streams are noticed by time: nothing wakes this thread then.
      changed_.WaitUntil(mutex_, std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
      continue;
    }
    const v1::JobEvent& event = events_[next++];
    if (!event.ephemeral() && event.sequence() <= request->after_sequence()) continue;
    writer->Write(event);
    if (event.has_finished()) break;
  }
  --watchers_;
  changed_.NotifyAll();
  return result;
}

grpc::Status FakeDaemon::CancelJob(grpc::ServerContext*, const v1::CancelJobRequest*,
                                   v1::Job* job) {
  if (grpc::Status failure = OrderedFailure(); !failure.ok()) return failure;
  bool ends = false;
  {
    MutexLock lock(mutex_);
    ++cancels_;
    ends = cancel_ends_;
    job_.set_state(v1::Job::CANCELLING);
    changed_.NotifyAll();
  }
  v1::JobEvent event;
  event.mutable_finished()->set_state(v1::Job::CANCELLED);
  event.mutable_finished()->mutable_error()->set_error(9);
  event.mutable_finished()->mutable_error()->set_message("the job was cancelled");
  if (ends) Say(event);
  *job = this->job();
  return grpc::Status::OK;
}

grpc::Status FakeDaemon::GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                                       v1::ServerInfo* info) {
  MutexLock lock(mutex_);
  *info = info_;
  return grpc::Status::OK;
}

grpc::Status FakeDaemon::Shutdown(grpc::ServerContext*, const v1::ShutdownRequest*,
                                  v1::ShutdownResponse*) {
  MutexLock lock(mutex_);
  shutdown_asked_ = true;
  changed_.NotifyAll();
  return grpc::Status::OK;
}

}  // namespace quantized::testing
