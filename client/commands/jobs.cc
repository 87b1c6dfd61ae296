#include "client/commands/jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "client/commands/follow.h"
#include "client/render/human.h"
#include "client/render/json.h"
#include "client/render/text.h"
#include "client/rpc/wait.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr std::array kJobArgument = {ArgumentRow{.name = "ID", .help = "Id of the job"}};
constexpr std::array kOptionalJobArgument = {
    ArgumentRow{.name = "ID",
                .help = "Id of the job (the newest one that has not ended if not given)",
                .required = false},
};

constexpr std::array<std::string_view, 7> kStates = {
    "PENDING", "STARTING", "RUNNING", "CANCELLING", "SUCCEEDED", "FAILED", "CANCELLED"};

constexpr std::array kListOptions = {
    OptionRow{.name = "--state",
              .kind = ValueKind::kChoice,
              .value_name = "TEXT",
              .help = "Only jobs in this state: PENDING, STARTING, RUNNING, CANCELLING, SUCCEEDED, "
                      "FAILED, CANCELLED",
              .choices = kStates},
    OptionRow{.name = "--limit",
              .kind = ValueKind::kCount,
              .value_name = "INT",
              .help = "Show at most this many, the newest first",
              .default_value = "50"},
};

constexpr std::array kLogOptions = {
    OptionRow{.name = "--attempt",
              .kind = ValueKind::kCount,
              .value_name = "INT",
              .help = "Attempt whose log to show (the newest if not set)"},
    OptionRow{.name = "--follow", .short_name = 'f', .help = "Go on until the attempt ends"},
};

constexpr std::array kListExamples = {
    ExampleRow{"Jobs that run now", "llm-quantize jobs list --state RUNNING"},
};
constexpr std::array kAttachExamples = {
    ExampleRow{"Back to a job, by the id that 'quantize --detach' printed",
               "llm-quantize jobs attach 01M836NA2RRW4JTMA2D5Z0HSNN"},
};
constexpr std::array kLogsExamples = {
    ExampleRow{"A log as it grows", "llm-quantize jobs logs --follow 01M836NA2RRW4JTMA2D5Z0HSNN"},
};
constexpr std::array kWaitExamples = {
    ExampleRow{"The result of a job, for a script",
               "llm-quantize --format json jobs wait 01M836NA2RRW4JTMA2D5Z0HSNN"},
};

// Ending a job takes a moment; after this the daemon is left to it.
constexpr std::chrono::seconds kCancelPatience{12};
constexpr std::chrono::milliseconds kCancelPoll{100};

absl::StatusOr<std::unique_ptr<Connection>> Connect(CommandContext& context) {
  ConnectionOptions options = ConnectionFor(context, /*may_start=*/true);
  options.trace = [&context](const std::string& line) {
    context.output.Note(Verbosity::kDebug, line);
  };
  return Connection::Open(std::move(options), {});
}

absl::Status Print(CommandContext& context, const v1::Job& job) {
  return context.output.WriteResult(context.output.format() == Format::kJson ? JsonJob(job)
                                                                             : HumanJob(job));
}

absl::StatusOr<std::vector<v1::Job>> FetchJobs(Connection& connection, const Values& values) {
  constexpr size_t kPageSize = 1000;
  const size_t limit = values.Count("--limit");
  v1::ListJobsRequest request;
  v1::Job::State state;
  if (values.Has("--state") && v1::Job::State_Parse(values.Text("--state"), &state)) {
    request.add_states(state);
  }
  std::vector<v1::Job> jobs;
  do {
    request.set_page_size(static_cast<int32_t>(std::min(limit - jobs.size(), kPageSize)));
    ASSIGN_OR_RETURN(const v1::ListJobsResponse page, connection.ListJobs(request, {}));
    jobs.insert(jobs.end(), page.jobs().begin(), page.jobs().end());
    request.set_page_token(page.next_page_token());
  } while (jobs.size() < limit && !request.page_token().empty());
  return jobs;
}

absl::Status List(const Values& values, CommandContext& context) {
  ASSIGN_OR_RETURN(const auto connection, Connect(context));
  ASSIGN_OR_RETURN(const std::vector<v1::Job> jobs, FetchJobs(*connection, values));
  return context.output.WriteResult(context.output.format() == Format::kJson ? JsonJobs(jobs)
                                                                             : HumanJobs(jobs));
}

absl::Status Show(const Values& values, CommandContext& context) {
  ASSIGN_OR_RETURN(const auto connection, Connect(context));
  v1::GetJobRequest request;
  request.set_id(values.Text("ID"));
  ASSIGN_OR_RETURN(const v1::Job job, connection->GetJob(request, {}));
  return Print(context, job);
}

// Streams a log to stdout as it comes, or collects it for one JSON object. A stream that breaks
// goes on where it was.
absl::Status Logs(const Values& values, CommandContext& context) {
  ASSIGN_OR_RETURN(const auto connection, Connect(context));
  const bool json = context.output.format() == Format::kJson;
  v1::ReadLogRequest request;
  request.set_id(values.Text("ID"));
  request.set_attempt(static_cast<int32_t>(values.Count("--attempt")));
  request.set_follow(values.Flag("--follow"));
  std::string collected;
  absl::Status written = absl::OkStatus();
  std::stop_source give_up;
  const auto take = [&](const v1::LogChunk& chunk) {
    request.set_offset(chunk.offset() + chunk.data().size());
    if (json) {
      collected += chunk.data();
    } else if (written.ok()) {
      written = context.output.WriteResult(PrintableLines(chunk.data()));
      if (!written.ok()) give_up.request_stop();
    }
  };
  Connection::StreamEnd end = connection->ReadLog(request, take, give_up.get_token());
  while (end.lost && connection->Reconnect({}).status.ok()) {
    end = connection->ReadLog(request, take, give_up.get_token());
  }
  RETURN_IF_ERROR(written);
  RETURN_IF_ERROR(end.status);
  return json ? context.output.WriteResult(JsonLog(request.id(), collected)) : absl::OkStatus();
}

// Cancels, then waits until the job has ended, so that a script may go on with what it left.
absl::Status Cancel(const Values& values, CommandContext& context) {
  ASSIGN_OR_RETURN(const auto connection, Connect(context));
  v1::CancelJobRequest request;
  request.set_id(values.Text("ID"));
  ASSIGN_OR_RETURN(v1::Job job, connection->CancelJob(request, {}));
  v1::GetJobRequest look;
  look.set_id(job.id());
  const auto deadline = std::chrono::steady_clock::now() + kCancelPatience;
  while (job.state() == v1::Job::CANCELLING && std::chrono::steady_clock::now() < deadline) {
    WaitFor(kCancelPoll, {});
    ASSIGN_OR_RETURN(job, connection->GetJob(look, {}));
  }
  return Print(context, job);
}

template <absl::Status (*function)(const Values&, CommandContext&)>
CommandResult About(const Values& values, CommandContext& context) {
  return {function(values, context), values.Text("ID")};
}

CommandResult RunList(const Values& values, CommandContext& context) {
  return {List(values, context)};
}

CommandResult RunAttach(const Values& values, CommandContext& context) {
  return FollowJob({.job = ExistingJob{values.Text("ID")}}, context);
}

CommandResult RunWait(const Values& values, CommandContext& context) {
  return FollowJob(
      {.job = ExistingJob{values.Text("ID")}, .show_progress = false, .cancel_on_interrupt = false},
      context);
}

}  // namespace

constexpr Command kJobsListCommand = {.name = "jobs list",
                                      .summary = "List jobs, the newest first.",
                                      .arguments = {},
                                      .options = kListOptions,
                                      .run = RunList,
                                      .examples = kListExamples};
constexpr Command kJobsShowCommand = {.name = "jobs show",
                                      .summary = "Show one job.",
                                      .arguments = kJobArgument,
                                      .options = {},
                                      .run = About<Show>};
constexpr Command kJobsAttachCommand = {
    .name = "jobs attach",
    .summary = "Come back to a job: show its progress and print its result.",
    .arguments = kOptionalJobArgument,
    .options = {},
    .run = RunAttach,
    .notes = "Ctrl-C cancels the job, as in 'quantize'.\n",
    .examples = kAttachExamples};
constexpr Command kJobsLogsCommand = {.name = "jobs logs",
                                      .summary = "Print the log of a job's attempt.",
                                      .arguments = kJobArgument,
                                      .options = kLogOptions,
                                      .run = About<Logs>,
                                      .examples = kLogsExamples};
constexpr Command kJobsWaitCommand = {
    .name = "jobs wait",
    .summary = "Wait silently for the end of a job and print its result.",
    .arguments = kOptionalJobArgument,
    .options = {},
    .run = RunWait,
    .notes = "Ctrl-C ends the waiting only.\n",
    .examples = kWaitExamples};
constexpr Command kJobsCancelCommand = {.name = "jobs cancel",
                                        .summary = "Cancel a job; its checkpoint is kept.",
                                        .arguments = kJobArgument,
                                        .options = {},
                                        .run = About<Cancel>};

}  // namespace quantized
