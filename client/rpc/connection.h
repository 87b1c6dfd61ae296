// The connection to a daemon: finds it, makes sure that both speak the same version, and repeats
// calls that failed because the daemon was away. Where the user named no daemon and the machine has
// none, the user's embedded daemon is started – also again, when it died meanwhile.
// Order: the host that the user named, the system socket if it answers, the embedded daemon. What
// was found first is kept: a reconnect never goes to a daemon of another kind.
// Thread-safe. Each call takes a stop token; a stop ends it with kCancelled.
#pragma once

#include <grpcpp/channel.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/rpc/embedded_daemon.h"
#include "client/rpc/endpoint.h"
#include "core/base/environment.h"
#include "core/base/mutex.h"
#include "quantized/v1/service.grpc.pb.h"

namespace quantized {

struct RetryPolicy {
  std::chrono::milliseconds first_pause{200};
  std::chrono::milliseconds longest_pause{5000};
  int tries = 5;                               // of one call
  std::chrono::milliseconds deadline{10'000};  // of one try
};

struct ConnectionOptions {
  std::string host;  // named by the user; may be empty
  Environment environment;
  std::filesystem::path daemon_program;  // `quantized`, for the embedded daemon
  bool may_start = true;                 // the embedded daemon
  std::string system_socket = "/run/quantized/quantized.sock";
  RetryPolicy retry;
  // Told what happens underneath, a line each ("connected to …"); may be empty. Called from the
  // threads that make calls.
  std::function<void(const std::string& line)> trace;
};

class Connection {
 public:
  // Errors: kInvalidArgument (host), kDaemonUnavailable, kVersionSkew, kAuthenticationRequired.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(ConnectionOptions options,
                                                          std::stop_token stop);

  // Errors of each call: those of the proto, and those of Open.
  absl::StatusOr<v1::Job> SubmitJob(const v1::SubmitJobRequest& request, std::stop_token stop);
  absl::StatusOr<v1::Job> GetJob(const v1::GetJobRequest& request, std::stop_token stop);
  absl::StatusOr<v1::Job> CancelJob(const v1::CancelJobRequest& request, std::stop_token stop);
  absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request,
                                                std::stop_token stop);
  absl::StatusOr<v1::ServerInfo> GetServerInfo(std::stop_token stop);
  absl::StatusOr<v1::ShutdownResponse> Shutdown(const v1::ShutdownRequest& request,
                                                std::stop_token stop);

  // One stream, until it ends. `lost` says that it broke and is worth opening again; `status` is OK
  // when the daemon ended it.
  struct StreamEnd {
    absl::Status status;
    bool lost = false;
  };
  StreamEnd WatchJob(const v1::WatchJobRequest& request,
                     const std::function<void(const v1::JobEvent&)>& on_event,
                     std::stop_token stop);
  StreamEnd ReadLog(const v1::ReadLogRequest& request,
                    const std::function<void(const v1::LogChunk&)>& on_chunk, std::stop_token stop);

  // Looks for the daemon anew after it was lost. `definitive` says that trying again is no use.
  struct ReconnectResult {
    absl::Status status;
    bool definitive = false;
  };
  ReconnectResult Reconnect(std::stop_token stop);

  std::string target() const;
  // Where this user's daemon listens and keeps its things; nullopt for daemons of other kinds.
  std::optional<UserFolders> embedded_folders() const { return folders_; }

 private:
  explicit Connection(ConnectionOptions options) : options_(std::move(options)) {}

  absl::Status ChooseEndpoint();
  // One try: finds (or starts) the daemon and shakes hands.
  ReconnectResult Establish(std::stop_token stop);
  absl::Status ShakeHands(const std::shared_ptr<grpc::Channel>& channel, const std::string& target,
                          std::stop_token stop, bool* gone);
  absl::Status ReplaceOtherVersion(const v1::ServerInfo& info,
                                   const std::shared_ptr<grpc::Channel>& channel, bool* gone);
  void Trace(const std::string& line) const;
  std::shared_ptr<grpc::Channel> channel() const;

  template <typename Response, typename Method>
  absl::StatusOr<Response> Call(Method method, std::stop_token stop);
  template <typename Message, typename OpenStream>
  StreamEnd Stream(const OpenStream& open, const std::function<void(const Message&)>& on_message,
                   std::stop_token stop);

  const ConnectionOptions options_;
  Endpoint::Kind kind_ = Endpoint::Kind::kNamed;
  std::optional<UserFolders> folders_;
  mutable Mutex mutex_;
  std::string target_ ABSL_GUARDED_BY(mutex_);
  // Shared because gRPC's stubs share it.
  std::shared_ptr<grpc::Channel> channel_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quantized
