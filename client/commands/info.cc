#include "client/commands/info.h"

#include <array>
#include <string>

#include "client/commands/ask_worker.h"
#include "client/commands/hub_model.h"
#include "client/commands/model_argument.h"
#include "client/render/model_info.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr std::array kArguments = {
    ArgumentRow{.name = "MODEL",
                .help = "Model path (HF Hub ID, local directory, or quantized file)"},
};

absl::StatusOr<std::string> Inspect(const std::filesystem::path& path, CommandContext& context) {
  return AskWorker(context, "the inspection of the model", {"inspect", path});
}

absl::StatusOr<std::string> InspectModel(const NamedModel& model, CommandContext& context) {
  if (model.hub_id.empty()) return Inspect(model.path, context);
  ASSIGN_OR_RETURN(const HubHeaders headers,
                   HubHeaders::Fetch(model.hub_id, HubHeaders::Texts::kFew, context));
  return Inspect(headers.path(), context);
}

absl::Status ShowInfo(const Values& values, CommandContext& context) {
  ASSIGN_OR_RETURN(const NamedModel model, ResolveModel(values.Text("MODEL")));
  ASSIGN_OR_RETURN(const std::string inspection, InspectModel(model, context));
  ASSIGN_OR_RETURN(const ModelInfoText text, FormatModelInfo(inspection, model.hub_id));
  return context.output.WriteResult(context.output.format() == Format::kJson ? text.json
                                                                             : text.human);
}

CommandResult RunInfo(const Values& values, CommandContext& context) {
  return {ShowInfo(values, context)};
}

}  // namespace

constexpr Command kInfoCommand = {
    .name = "info",
    .summary = "Display model information.",
    .arguments = kArguments,
    .options = {},
    .run = RunInfo,
    .notes =
        "Needs no daemon. Of a model on the Hub it fetches no weights, only what "
        "describes them.\n"};

}  // namespace quantized
