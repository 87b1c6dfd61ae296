#include "daemon/hub/fetch_attempt.h"

#include <filesystem>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "daemon/hub/fetch_model.h"

namespace quantized {
namespace {

HubSettings SettingsOf(const v1::HubModel& hub, const std::string& token) {
  return {.endpoint = hub.endpoint(),
          .token = token,
          .offline = hub.offline(),
          .cache = hub.cache_dir(),
          .shared_cache = hub.shared_cache_dir(),
          .certificates = hub.certificates()};
}

// A refusal after the token was lost is no fault of the user's.
absl::Status Explained(const absl::Status& failure, const v1::StartAttempt& start) {
  const Error error = ErrorOf(failure);
  const bool is_refusal = error == Error::kAuthenticationRequired || error == Error::kModelNotFound;
  const v1::HubModel& hub = start.spec().quantize().hub();
  if (!is_refusal || !hub.has_token() || !start.hub_token().empty()) return failure;
  return MakeError(Error::kAuthenticationRequired,
                   StrCat("the daemon has started anew and no longer has your token, which model '",
                          hub.repository(), "' needs"),
                   "Give the same command again; the download goes on where it was");
}

// What the worker would find only when all is fetched.
absl::Status CheckOutputs(const v1::QuantizeSpec& spec) {
  for (const v1::OutputSpec& output : spec.outputs()) {
    RETURN_IF_ERROR(CheckWritable(std::filesystem::path(output.path()).parent_path()));
  }
  return absl::OkStatus();
}

absl::StatusOr<FetchedModel> Fetch(const v1::StartAttempt& start, std::stop_token stop,
                                   ProgressSink& progress) {
  RETURN_IF_ERROR(CheckOutputs(start.spec().quantize()));
  const v1::HubModel& hub = start.spec().quantize().hub();
  ASSIGN_OR_RETURN(const HubId id, ParseHubId(StrCat(hub.repository(), "@", hub.revision())));
  HubSettings settings = SettingsOf(hub, start.hub_token());
  RETURN_IF_ERROR(CheckHubSettings(settings));
  bool told = false;
  const auto tell = [&](const FetchProgress& now) {
    if (!now.is_fetching) return;
    if (!std::exchange(told, true)) {
      progress.OnMessage(StrCat("Downloading model: ", start.spec().quantize().model_name()));
    }
    progress.OnProgress(now.done_bytes, now.total_bytes, "bytes", 0);
  };
  RealWaiter waiter;
  const FetchContext context{
      .settings = std::move(settings),
      .waiter = waiter,
      .stop = std::move(stop),
      .on_progress = tell,
      .on_message = [&](std::string_view text) { progress.OnMessage(text); }};
  absl::StatusOr<FetchedModel> model = FetchPinnedModel(context, id, hub.commit());
  if (!model.ok()) return Explained(model.status(), start);
  return model;
}

}  // namespace

JobOutcome RunFetch(const v1::StartAttempt& start, std::stop_token stop, ProgressSink& progress) {
  progress.OnPhase(Phase::kFetch);
  const absl::StatusOr<FetchedModel> model = Fetch(start, std::move(stop), progress);
  if (!model.ok()) return {WithoutToken(model.status(), start.hub_token()), {}};
  JobOutcome outcome;
  outcome.result.mutable_fetch()->set_model_path(model->path.string());
  return outcome;
}

}  // namespace quantized
