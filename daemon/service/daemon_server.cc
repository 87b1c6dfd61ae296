#include "daemon/service/daemon_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <array>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

// Requests hold paths and names; a megabyte of them is an attack or a mistake.
constexpr int kMaxRequestBytes = 1 << 20;
constexpr int kMaxStreamsPerConnection = 256;
constexpr std::chrono::seconds kShutdownGrace{2};

// gRPC's defaults end connections that ask for signs of life more often than every five minutes.
struct Argument {
  const char* name;
  int value;
};
constexpr std::array kArguments = {
    Argument{GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection},
    Argument{GRPC_ARG_KEEPALIVE_TIME_MS, 60'000},
    Argument{GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000},
    Argument{GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
    Argument{GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 15'000},
    Argument{GRPC_ARG_ALLOW_REUSEPORT, 0},  // two daemons must not share a port
};

absl::Status CheckLoopback(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  const std::string host = listen.substr(0, colon == std::string::npos ? 0 : colon);
  int port = 0;
  if (host.empty() || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return MakeError(Error::kInvalidArgument,
                     absl::StrCat("--listen: found '", listen, "', needed HOST:PORT"));
  }
  if (host == "localhost" || host == "[::1]" || host == "127.0.0.1") return absl::OkStatus();
  return MakeError(Error::kInvalidArgument,
                   absl::StrCat("--listen: host ", host,
                                " is not loopback, and connections are not "
                                "encrypted in this version"),
                   "listen on 127.0.0.1 and forward the port, for instance with ssh -L");
}

}  // namespace

absl::StatusOr<std::unique_ptr<DaemonServer>> DaemonServer::Start(Options options, JobQueue& queue,
                                                                  Lifetime& lifetime) {
  if (!options.listen.empty()) {
    RETURN_IF_ERROR(CheckLoopback(options.listen));
  }
  ASSIGN_OR_RETURN(SocketClaim claim, SocketClaim::Take(options.socket, options.patience));
  std::unique_ptr<DaemonServer> server(
      new DaemonServer(std::move(claim), queue, lifetime, std::move(options.info)));

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  for (const Argument& argument : kArguments) {
    builder.AddChannelArgument(argument.name, argument.value);
  }
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  int socket_port = 0;
  builder.AddListeningPort(absl::StrCat("unix:", options.socket.string()),
                           grpc::InsecureServerCredentials(), &socket_port);
  if (!options.listen.empty()) {
    builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &server->port_);
  }
  builder.RegisterService(&server->jobs_);
  builder.RegisterService(&server->server_service_);
  server->server_ = builder.BuildAndStart();
  const bool listens = options.listen.empty() || server->port_ > 0;
  if (server->server_ == nullptr || !listens) {
    return MakeError(Error::kIo,
                     absl::StrCat("cannot listen on ", options.socket.string(),
                                  options.listen.empty() ? "" : " and ", options.listen));
  }
  grpc::HealthCheckServiceInterface* health = server->server_->GetHealthCheckService();
  health->SetServingStatus(v1::Jobs::service_full_name(), true);
  health->SetServingStatus(v1::Server::service_full_name(), true);
  return server;
}

void DaemonServer::SetNotServing() { server_->GetHealthCheckService()->SetServingStatus(false); }

DaemonServer::~DaemonServer() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  server_->Wait();
}

}  // namespace quantized
