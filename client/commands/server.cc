#include "client/commands/server.h"

#include <fmt/format.h>

#include <array>
#include <chrono>

#include "client/render/human.h"
#include "client/render/json.h"
#include "client/rpc/wait.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr std::array kStopOptions = {
    OptionRow{.name = "--when-idle", .help = "Stop after the last job instead of at once"},
};

constexpr std::array kStopExamples = {
    ExampleRow{"Stop when all jobs have ended", "llm-quantize server stop --when-idle"},
};

// A daemon that stops ends its workers first.
constexpr std::chrono::seconds kStopPatience{60};
constexpr std::chrono::milliseconds kStopPoll{50};

absl::StatusOr<std::unique_ptr<Connection>> Connect(CommandContext& context, bool may_start) {
  ConnectionOptions options = ConnectionFor(context, may_start);
  options.trace = [&context](const std::string& line) {
    context.output.Note(Verbosity::kDebug, line);
  };
  return Connection::Open(std::move(options), {});
}

absl::Status ShowServer(CommandContext& context, bool may_start) {
  ASSIGN_OR_RETURN(const auto connection, Connect(context, may_start));
  ASSIGN_OR_RETURN(const v1::ServerInfo info, connection->GetServerInfo({}));
  const bool json = context.output.format() == Format::kJson;
  return context.output.WriteResult(json ? JsonServer(info, connection->target())
                                         : HumanServer(info, connection->target()));
}

CommandResult RunStatus(const Values&, CommandContext& context) {
  return {ShowServer(context, /*may_start=*/false)};
}

CommandResult RunStart(const Values&, CommandContext& context) {
  return {ShowServer(context, /*may_start=*/true)};
}

// Waits until the daemon of `socket` no longer answers.
absl::Status AwaitEnd(const std::string& target) {
  constexpr std::string_view kUnixPrefix = "unix:";
  if (!target.starts_with(kUnixPrefix)) return absl::OkStatus();
  const std::string socket = target.substr(kUnixPrefix.size());
  const auto deadline = std::chrono::steady_clock::now() + kStopPatience;
  while (SocketAnswers(socket)) {
    if (std::chrono::steady_clock::now() > deadline) {
      return MakeError(
          Error::kDaemonUnavailable,
          fmt::format("the daemon at {} has not ended within {} s", target, kStopPatience.count()),
          "See its log; 'llm-quantize server status' names it");
    }
    WaitFor(kStopPoll, {});
  }
  return absl::OkStatus();
}

absl::Status Stop(const Values& values, CommandContext& context) {
  ASSIGN_OR_RETURN(const auto connection, Connect(context, /*may_start=*/false));
  v1::ShutdownRequest request;
  request.set_when_idle(values.Flag("--when-idle"));
  ASSIGN_OR_RETURN(const v1::ShutdownResponse response, connection->Shutdown(request, {}));
  const bool now = !request.when_idle() || response.jobs_left() == 0;
  if (now) {
    RETURN_IF_ERROR(AwaitEnd(connection->target()));
  }
  const bool json = context.output.format() == Format::kJson;
  return context.output.WriteResult(json ? JsonStopped(now, response.jobs_left())
                                         : HumanStopped(now, response.jobs_left()));
}

CommandResult RunStop(const Values& values, CommandContext& context) {
  return {Stop(values, context)};
}

}  // namespace

constexpr Command kServerStatusCommand = {.name = "server status",
                                          .summary = "Show the daemon, if one is running.",
                                          .arguments = {},
                                          .options = {},
                                          .run = RunStatus};
constexpr Command kServerStartCommand = {.name = "server start",
                                         .summary = "Start the daemon if none is running.",
                                         .arguments = {},
                                         .options = {},
                                         .run = RunStart};
constexpr Command kServerStopCommand = {
    .name = "server stop",
    .summary = "Stop the daemon; its jobs go on when it starts again.",
    .arguments = {},
    .options = kStopOptions,
    .run = RunStop,
    .examples = kStopExamples};

}  // namespace quantized
