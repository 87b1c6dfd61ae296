// The service Server of proto/quantized/v1/service.proto. Thread-safe. What it gets must outlive it
// and all its calls.
#pragma once

#include "daemon/queue/job_queue.h"
#include "daemon/service/lifetime.h"
#include "quantized/v1/service.grpc.pb.h"

namespace quantized {

class ServerService final : public v1::Server::CallbackService {
 public:
  // `info`: what does not change while the daemon runs.
  ServerService(JobQueue& queue, Lifetime& lifetime, v1::ServerInfo info)
      : queue_(queue), lifetime_(lifetime), info_(std::move(info)) {}

 private:
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::ServerInfo* response) override;
  grpc::ServerUnaryReactor* Shutdown(grpc::CallbackServerContext* context,
                                     const v1::ShutdownRequest* request,
                                     v1::ShutdownResponse* response) override;

  JobQueue& queue_;
  Lifetime& lifetime_;
  const v1::ServerInfo info_;
};

}  // namespace quantized
