#include "daemon/service/server_service.h"

#include "daemon/service/reactors.h"

namespace quantized {
namespace {

class GetServerInfoReactor final : public UnaryReactor<v1::ServerInfo> {
 public:
  using UnaryReactor::UnaryReactor;
  void Run(const JobQueue& queue, v1::ServerInfo info) {
    const JobQueue::Counts counts = queue.counts();
    info.set_slots(queue.options().slots);
    info.set_jobs_pending(counts.pending);
    info.set_jobs_running(counts.active);
    Reply(std::move(info));
  }
};

class ShutdownReactor final : public UnaryReactor<v1::ShutdownResponse> {
 public:
  using UnaryReactor::UnaryReactor;
  void Run(const JobQueue& queue, Lifetime& lifetime, const v1::ShutdownRequest& request) {
    v1::ShutdownResponse response;
    response.set_jobs_left(queue.live_jobs());
    if (request.when_idle()) {
      lifetime.StopWhenIdle();
    } else {
      lifetime.Stop();
    }
    Reply(std::move(response));
  }
};

}  // namespace

grpc::ServerUnaryReactor* ServerService::GetServerInfo(grpc::CallbackServerContext* context,
                                                       const v1::GetServerInfoRequest*,
                                                       v1::ServerInfo* response) {
  auto* reactor = new GetServerInfoReactor(lifetime_, *context, *response);
  reactor->Run(queue_, info_);
  return reactor;
}

grpc::ServerUnaryReactor* ServerService::Shutdown(grpc::CallbackServerContext* context,
                                                  const v1::ShutdownRequest* request,
                                                  v1::ShutdownResponse* response) {
  auto* reactor = new ShutdownReactor(lifetime_, *context, *response);
  reactor->Run(queue_, lifetime_, *request);
  return reactor;
}

}  // namespace quantized
