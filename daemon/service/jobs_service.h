// The service Jobs of proto/quantized/v1/service.proto. Thread-safe. What it gets must outlive it
// and all its calls.
#pragma once

#include "daemon/queue/job_queue.h"
#include "daemon/queue/log_reader.h"
#include "daemon/service/lifetime.h"
#include "quantized/v1/service.grpc.pb.h"

namespace quantized {

class JobsService final : public v1::Jobs::CallbackService {
 public:
  JobsService(JobQueue& queue, LogReader& logs, Lifetime& lifetime)
      : queue_(queue), logs_(logs), lifetime_(lifetime) {}

 private:
  grpc::ServerUnaryReactor* SubmitJob(grpc::CallbackServerContext* context,
                                      const v1::SubmitJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request, v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerWriteReactor<v1::JobEvent>* WatchJob(grpc::CallbackServerContext* context,
                                                   const v1::WatchJobRequest* request) override;
  grpc::ServerWriteReactor<v1::LogChunk>* ReadLog(grpc::CallbackServerContext* context,
                                                  const v1::ReadLogRequest* request) override;

  JobQueue& queue_;
  LogReader& logs_;
  Lifetime& lifetime_;
};

}  // namespace quantized
