#include "client/rpc/connection.h"

#include <fmt/format.h>
#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <cstdlib>

#include "client/rpc/rpc_error.h"
#include "client/rpc/wait.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/version.h"

namespace quantized {
namespace {

using std::chrono::milliseconds;

// gRPC prints its own remarks to stderr, which belongs to our renderer; whoever wants them sets
// gRPC's variable.
void SilenceGrpc() {
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target) {
  grpc::ChannelArguments arguments;
  // A fresh channel must not inherit the back-off of an older one to the same address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Retries are ours: they also look for a restarted daemon.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A list of jobs with all that became of them; what one is told comes from our own daemon.
  arguments.SetMaxReceiveMessageSize(256 << 20);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

absl::Status GivenUp() { return MakeError(Error::kCancelled, "the call was given up"); }

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(ConnectionOptions options,
                                                             std::stop_token stop) {
  SilenceGrpc();
  std::unique_ptr<Connection> connection(new Connection(std::move(options)));
  RETURN_IF_ERROR(connection->ChooseEndpoint());
  const RetryPolicy& retry = connection->options_.retry;
  Backoff backoff(retry.first_pause, retry.longest_pause);
  for (int tries = 1;; ++tries) {
    const ReconnectResult result = connection->Establish(stop);
    if (result.status.ok()) return connection;
    if (result.definitive || tries == retry.tries) return result.status;
    if (!WaitFor(backoff.Next(), stop)) return GivenUp();
  }
}

absl::Status Connection::ChooseEndpoint() {
  if (!options_.host.empty()) {
    ASSIGN_OR_RETURN(const Endpoint endpoint, ParseHost(options_.host));
    kind_ = endpoint.kind;
    MutexLock lock(mutex_);
    target_ = endpoint.target;
    return absl::OkStatus();
  }
  if (SocketAnswers(options_.system_socket)) {
    kind_ = Endpoint::Kind::kSystem;
    MutexLock lock(mutex_);
    target_ = "unix:" + options_.system_socket;
    return absl::OkStatus();
  }
  kind_ = Endpoint::Kind::kEmbedded;
  ASSIGN_OR_RETURN(folders_, FindUserFolders(options_.environment));
  return absl::OkStatus();
}

Connection::ReconnectResult Connection::Establish(std::stop_token stop) {
  std::string target = this->target();
  if (kind_ == Endpoint::Kind::kEmbedded) {
    auto daemon = options_.may_start
                      ? EnsureEmbeddedDaemon({options_.daemon_program, *folders_}, stop)
                      : FindEmbeddedDaemon(*folders_);
    if (!daemon.ok()) return {daemon.status(), /*definitive=*/true};
    target = "unix:" + daemon->socket.native();
    if (daemon->started) Trace("started " + options_.daemon_program.native());
  }
  const std::shared_ptr<grpc::Channel> channel = MakeChannel(target);
  bool gone = false;
  if (absl::Status status = ShakeHands(channel, target, stop, &gone); !status.ok()) {
    return {status, /*definitive=*/!gone};
  }
  Trace("connected to " + target);
  MutexLock lock(mutex_);
  target_ = target;
  channel_ = channel;
  return {absl::OkStatus()};
}

Connection::ReconnectResult Connection::Reconnect(std::stop_token stop) { return Establish(stop); }

absl::Status Connection::ShakeHands(const std::shared_ptr<grpc::Channel>& channel,
                                    const std::string& target, std::stop_token stop, bool* gone) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + options_.retry.deadline);
  const std::stop_callback cancel(stop, [&] { context.TryCancel(); });
  v1::ServerInfo info;
  const grpc::Status status = v1::Server::NewStub(channel)->GetServerInfo(&context, {}, &info);
  *gone = IsWorthRetrying(status);
  RETURN_IF_ERROR(StatusOf(status, context, target));
  if (info.api_version() == kApiVersion) return absl::OkStatus();
  return ReplaceOtherVersion(info, channel, gone);
}

// An embedded daemon of another version makes way when it has nothing to do; one with work is never
// ended, nor is one that the user named.
absl::Status Connection::ReplaceOtherVersion(const v1::ServerInfo& info,
                                             const std::shared_ptr<grpc::Channel>& channel,
                                             bool* gone) {
  const absl::Status skew = MakeError(
      Error::kVersionSkew,
      fmt::format("the daemon is version {} with API {}, this client is version {} with API {}",
                  info.version(), info.api_version(), kVersion, kApiVersion),
      kind_ == Endpoint::Kind::kEmbedded
          ? "Wait until its jobs have ended, or use the client that started it"
          : "Use a client and a daemon of the same version");
  const bool idle = info.jobs_pending() + info.jobs_running() == 0;
  if (kind_ != Endpoint::Kind::kEmbedded || !options_.may_start || !idle) return skew;

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + options_.retry.deadline);
  v1::ShutdownRequest request;
  request.set_when_idle(true);
  v1::ShutdownResponse response;
  const grpc::Status status = v1::Server::NewStub(channel)->Shutdown(&context, request, &response);
  if (!status.ok() && !IsWorthRetrying(status)) return skew;
  Trace(fmt::format("asked the idle daemon of version {} to end", info.version()));
  *gone = true;
  return skew;
}

template <typename Response, typename Method>
absl::StatusOr<Response> Connection::Call(Method method, std::stop_token stop) {
  const RetryPolicy& retry = options_.retry;
  Backoff backoff(retry.first_pause, retry.longest_pause);
  for (int tries = 1;; ++tries) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + retry.deadline);
    const std::stop_callback cancel(stop, [&] { context.TryCancel(); });
    Response response;
    const grpc::Status status = method(channel(), &context, &response);
    if (status.ok()) return response;
    if (!IsWorthRetrying(status) || tries == retry.tries) {
      return StatusOf(status, context, target());
    }
    Trace(fmt::format("call failed, trying again: {}", status.error_message()));
    if (!WaitFor(backoff.Next(), stop)) return GivenUp();
    const ReconnectResult result = Establish(stop);
    if (!result.status.ok() && result.definitive) return result.status;
  }
}

absl::StatusOr<v1::Job> Connection::SubmitJob(const v1::SubmitJobRequest& request,
                                              std::stop_token stop) {
  return Call<v1::Job>(
      [&](const auto& channel, auto* context, auto* response) {
        return v1::Jobs::NewStub(channel)->SubmitJob(context, request, response);
      },
      stop);
}

absl::StatusOr<v1::Job> Connection::GetJob(const v1::GetJobRequest& request, std::stop_token stop) {
  return Call<v1::Job>(
      [&](const auto& channel, auto* context, auto* response) {
        return v1::Jobs::NewStub(channel)->GetJob(context, request, response);
      },
      stop);
}

absl::StatusOr<v1::Job> Connection::CancelJob(const v1::CancelJobRequest& request,
                                              std::stop_token stop) {
  return Call<v1::Job>(
      [&](const auto& channel, auto* context, auto* response) {
        return v1::Jobs::NewStub(channel)->CancelJob(context, request, response);
      },
      stop);
}

absl::StatusOr<v1::ListJobsResponse> Connection::ListJobs(const v1::ListJobsRequest& request,
                                                          std::stop_token stop) {
  return Call<v1::ListJobsResponse>(
      [&](const auto& channel, auto* context, auto* response) {
        return v1::Jobs::NewStub(channel)->ListJobs(context, request, response);
      },
      stop);
}

absl::StatusOr<v1::ServerInfo> Connection::GetServerInfo(std::stop_token stop) {
  return Call<v1::ServerInfo>(
      [&](const auto& channel, auto* context, auto* response) {
        return v1::Server::NewStub(channel)->GetServerInfo(context, {}, response);
      },
      stop);
}

absl::StatusOr<v1::ShutdownResponse> Connection::Shutdown(const v1::ShutdownRequest& request,
                                                          std::stop_token stop) {
  return Call<v1::ShutdownResponse>(
      [&](const auto& channel, auto* context, auto* response) {
        return v1::Server::NewStub(channel)->Shutdown(context, request, response);
      },
      stop);
}

template <typename Message, typename OpenStream>
Connection::StreamEnd Connection::Stream(const OpenStream& open,
                                         const std::function<void(const Message&)>& on_message,
                                         std::stop_token stop) {
  grpc::ClientContext context;
  const std::stop_callback cancel(stop, [&] { context.TryCancel(); });
  // Held while the reader lives: a reconnect on another thread may replace the channel.
  const std::shared_ptr<grpc::Channel> held = channel();
  auto reader = open(held, &context);
  Message message;
  while (reader->Read(&message)) on_message(message);
  const grpc::Status status = reader->Finish();
  // A broken stream shows as any of these, depending on where it broke.
  const bool lost = !stop.stop_requested() && (IsWorthRetrying(status) ||
                                               status.error_code() == grpc::StatusCode::CANCELLED ||
                                               status.error_code() == grpc::StatusCode::UNKNOWN ||
                                               (status.error_code() == grpc::StatusCode::INTERNAL &&
                                                context.GetServerTrailingMetadata().empty()));
  return {StatusOf(status, context, target()), lost};
}

Connection::StreamEnd Connection::WatchJob(const v1::WatchJobRequest& request,
                                           const std::function<void(const v1::JobEvent&)>& on_event,
                                           std::stop_token stop) {
  return Stream<v1::JobEvent>(
      [&](const auto& channel, auto* context) {
        return v1::Jobs::NewStub(channel)->WatchJob(context, request);
      },
      on_event, stop);
}

Connection::StreamEnd Connection::ReadLog(const v1::ReadLogRequest& request,
                                          const std::function<void(const v1::LogChunk&)>& on_chunk,
                                          std::stop_token stop) {
  return Stream<v1::LogChunk>(
      [&](const auto& channel, auto* context) {
        return v1::Jobs::NewStub(channel)->ReadLog(context, request);
      },
      on_chunk, stop);
}

void Connection::Trace(const std::string& line) const {
  if (options_.trace) options_.trace(line);
}

std::string Connection::target() const {
  MutexLock lock(mutex_);
  return target_;
}

std::shared_ptr<grpc::Channel> Connection::channel() const {
  MutexLock lock(mutex_);
  return channel_;
}

}  // namespace quantized
