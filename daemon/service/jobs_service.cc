#include "daemon/service/jobs_service.h"

#include <atomic>
#include <memory>
#include <utility>

#include "core/base/error.h"
#include "daemon/service/reactors.h"

namespace quantized {
namespace {

class SubmitJobReactor final : public UnaryReactor<v1::Job> {
 public:
  using UnaryReactor::UnaryReactor;
  void Run(JobQueue& queue, Lifetime& lifetime, const v1::SubmitJobRequest& request) {
    queue.Submit(request, [this, &lifetime](absl::StatusOr<v1::Job> job) {
      lifetime.JobsChanged();
      Reply(std::move(job));
    });
  }
};

class GetJobReactor final : public UnaryReactor<v1::Job> {
 public:
  using UnaryReactor::UnaryReactor;
  void Run(JobQueue& queue, const v1::GetJobRequest& request) {
    queue.Get(request.id(), [this](absl::StatusOr<v1::Job> job) { Reply(std::move(job)); });
  }
};

class ListJobsReactor final : public UnaryReactor<v1::ListJobsResponse> {
 public:
  using UnaryReactor::UnaryReactor;
  void Run(JobQueue& queue, const v1::ListJobsRequest& request) {
    queue.List(request,
               [this](absl::StatusOr<v1::ListJobsResponse> page) { Reply(std::move(page)); });
  }
};

class CancelJobReactor final : public UnaryReactor<v1::Job> {
 public:
  using UnaryReactor::UnaryReactor;
  void Run(JobQueue& queue, const v1::CancelJobRequest& request) {
    queue.Cancel(request.id(), [this](absl::StatusOr<v1::Job> job) { Reply(std::move(job)); });
  }
};

class WatchJobReactor final : public StreamReactor<v1::JobEvent> {
 public:
  using StreamReactor::StreamReactor;
  void Run(JobQueue& queue, const v1::WatchJobRequest& request) {
    watch_ = queue.Watch(request.id(), request.after_sequence());
    Next();
  }

 private:
  void Next() override {
    watch_->Next([this](absl::StatusOr<SharedEvent> event) {
      if (!event.ok()) return End(event.status());
      if (*event == nullptr) return End(absl::OkStatus());
      sent_ = *std::move(event);
      Send(*sent_);
    });
  }
  void GiveUp() override { watch_->Close(MakeError(Error::kCancelled, "the watcher went away")); }

  std::shared_ptr<JobWatch> watch_;
  SharedEvent sent_;
};

class ReadLogReactor final : public StreamReactor<v1::LogChunk> {
 public:
  using StreamReactor::StreamReactor;
  void Run(JobQueue& queue, LogReader& reader, const v1::ReadLogRequest& request) {
    reader_ = &reader;
    offset_ = request.offset();
    follow_ = request.follow();
    queue.FindLog(request.id(), request.attempt(),
                  [this](absl::StatusOr<JobQueue::AttemptLog> log) {
                    if (!log.ok()) return End(log.status());
                    log_ = *std::move(log);
                    Next();
                  });
  }

 private:
  void Next() override {
    reader_->Read(
        log_, offset_, follow_, [given_up = given_up_] { return given_up->load(); },
        [this](absl::StatusOr<LogReader::Chunk> chunk) {
          if (!chunk.ok()) return End(chunk.status());
          if (chunk->data.empty()) return End(absl::OkStatus());
          sent_.set_offset(chunk->offset);
          offset_ = chunk->offset + chunk->data.size();
          sent_.set_data(std::move(chunk->data));
          Send(sent_);
        });
  }
  void GiveUp() override { *given_up_ = true; }

  LogReader* reader_ = nullptr;
  JobQueue::AttemptLog log_;
  uint64_t offset_ = 0;
  bool follow_ = false;
  v1::LogChunk sent_;
  // Shared with the reader, which may look at it after the reactor is gone.
  const std::shared_ptr<std::atomic<bool>> given_up_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

grpc::ServerUnaryReactor* JobsService::SubmitJob(grpc::CallbackServerContext* context,
                                                 const v1::SubmitJobRequest* request,
                                                 v1::Job* response) {
  auto* reactor = new SubmitJobReactor(lifetime_, *context, *response);
  reactor->Run(queue_, lifetime_, *request);
  return reactor;
}

grpc::ServerUnaryReactor* JobsService::GetJob(grpc::CallbackServerContext* context,
                                              const v1::GetJobRequest* request, v1::Job* response) {
  auto* reactor = new GetJobReactor(lifetime_, *context, *response);
  reactor->Run(queue_, *request);
  return reactor;
}

grpc::ServerUnaryReactor* JobsService::ListJobs(grpc::CallbackServerContext* context,
                                                const v1::ListJobsRequest* request,
                                                v1::ListJobsResponse* response) {
  auto* reactor = new ListJobsReactor(lifetime_, *context, *response);
  reactor->Run(queue_, *request);
  return reactor;
}

grpc::ServerUnaryReactor* JobsService::CancelJob(grpc::CallbackServerContext* context,
                                                 const v1::CancelJobRequest* request,
                                                 v1::Job* response) {
  auto* reactor = new CancelJobReactor(lifetime_, *context, *response);
  reactor->Run(queue_, *request);
  return reactor;
}

grpc::ServerWriteReactor<v1::JobEvent>* JobsService::WatchJob(grpc::CallbackServerContext* context,
                                                              const v1::WatchJobRequest* request) {
  auto* reactor = new WatchJobReactor(lifetime_, *context);
  reactor->Run(queue_, *request);
  return reactor;
}

grpc::ServerWriteReactor<v1::LogChunk>* JobsService::ReadLog(grpc::CallbackServerContext* context,
                                                             const v1::ReadLogRequest* request) {
  auto* reactor = new ReadLogReactor(lifetime_, *context);
  reactor->Run(queue_, logs_, *request);
  return reactor;
}

}  // namespace quantized
