// The daemon's gRPC server: the services Jobs and Server, health and reflection, on a unix socket
// and, if asked, on a loopback port.
#pragma once

#include <grpcpp/server.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/log_reader.h"
#include "daemon/service/jobs_service.h"
#include "daemon/service/lifetime.h"
#include "daemon/service/server_service.h"
#include "daemon/service/socket_claim.h"

namespace quantized {

class DaemonServer {
 public:
  struct Options {
    std::filesystem::path socket;
    // Wait for a daemon that is giving the socket up.
    std::chrono::milliseconds patience{0};
    // HOST:PORT; HOST is localhost or a loopback address, port 0 takes a free one. Empty: no port.
    std::string listen;
    v1::ServerInfo info;  // what the daemon says of itself; counts are filled in
  };

  // Serves from its return on. `queue` and `lifetime` must outlive the server. Errors: those of
  // SocketClaim; kInvalidArgument for an address that is not loopback; kIo when it cannot listen.
  static absl::StatusOr<std::unique_ptr<DaemonServer>> Start(Options options, JobQueue& queue,
                                                             Lifetime& lifetime);
  // Ends calls that are still open after a short time, then stops.
  ~DaemonServer();

  // Health says NOT_SERVING from now on.
  void SetNotServing();

  // The port that was asked for or taken; 0: none.
  int port() const { return port_; }

 private:
  DaemonServer(SocketClaim claim, JobQueue& queue, Lifetime& lifetime, v1::ServerInfo info)
      : claim_(std::move(claim)),
        jobs_(queue, logs_, lifetime),
        server_service_(queue, lifetime, std::move(info)) {}

  SocketClaim claim_;
  LogReader logs_;
  JobsService jobs_;
  ServerService server_service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace quantized
