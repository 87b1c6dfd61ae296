#include "client/commands/job_options.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

#include "client/commands/ask_worker.h"
#include "client/commands/follow.h"
#include "client/commands/hub_model.h"
#include "client/commands/model_argument.h"
#include "client/render/plan.h"
#include "core/base/error.h"
#include "core/base/ids.h"
#include "core/base/status_macros.h"

namespace quantized {

absl::Status CheckOpposites(const Values& values,
                            std::span<const std::pair<std::string_view, std::string_view>> pairs) {
  for (const auto& [one, other] : pairs) {
    if (values.Has(one) && values.Has(other)) {
      return MakeError(Error::kInvalidArgument,
                       fmt::format("{} cannot be used with {}", one, other),
                       "Leave out one of them");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckJobOptions(const Values& values) {
  constexpr std::pair<std::string_view, std::string_view> kOpposites[] = {
      {"--resume", "--no-checkpoints"}, {"--plan", "--detach"}};
  return CheckOpposites(values, kOpposites);
}

void SetJobOptions(const Values& values, v1::QuantizeSpec& spec) {
  spec.set_overwrite(values.Flag("--overwrite"));
  v1::CheckpointPolicy& checkpoint = *spec.mutable_checkpoint();
  checkpoint.set_enabled(!values.Flag("--no-checkpoints"));
  checkpoint.set_directory(AbsolutePath(values.Text("--checkpoint-dir")));
  if (values.Has("--resume")) checkpoint.set_resume_from(AbsolutePath(values.Text("--resume")));
  spec.set_threads(static_cast<uint32_t>(values.Count("--threads")));
}

absl::StatusOr<std::string> AskPlan(const v1::QuantizeSpec& spec, CommandContext& context) {
  return AskWorker(context, "the planning of the job", {"plan"}, spec.SerializeAsString());
}

absl::Status ShowPlan(v1::QuantizeSpec spec, CommandContext& context) {
  std::optional<HubHeaders> headers;
  std::optional<HubFacts> hub;
  if (spec.model_path().empty()) {
    ASSIGN_OR_RETURN(headers,
                     HubHeaders::Fetch(spec.model_name(), HubHeaders::Texts::kAll, context));
    hub = HubFacts{.name = spec.model_name(), .download_bytes = headers->missing_bytes()};
    spec.set_model_path(headers->path());
  }
  ASSIGN_OR_RETURN(const std::string plan, AskPlan(spec, context));
  ASSIGN_OR_RETURN(const PlanText text, FormatPlan(plan, hub));
  return context.output.WriteResult(context.output.format() == Format::kJson ? text.json
                                                                             : text.human);
}

namespace {

absl::StatusOr<v1::SubmitJobRequest> MakeRequest(v1::QuantizeSpec spec, CommandContext& context) {
  v1::SubmitJobRequest request;
  request.set_request_id(NewUuid());
  if (spec.model_path().empty()) {
    ASSIGN_OR_RETURN(PinnedModel pinned, PinHubModel(spec.model_name(), context));
    *spec.mutable_hub() = std::move(pinned.model);
    request.set_hub_token(std::move(pinned.token));
  }
  *request.mutable_spec()->mutable_quantize() = std::move(spec);
  return request;
}

}  // namespace

CommandResult RunJob(const Values& values, v1::QuantizeSpec spec, CommandContext& context) {
  absl::StatusOr<v1::SubmitJobRequest> request = MakeRequest(std::move(spec), context);
  if (!request.ok()) return {request.status()};
  const NewJob job{*std::move(request), /*watch=*/!values.Flag("--detach")};
  return FollowJob({.job = job}, context);
}

}  // namespace quantized
