#include "client/commands/info.h"

#include <array>
#include <string>

#include "client/commands/ask_worker.h"
#include "client/commands/model_argument.h"
#include "client/render/model_info.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr std::array kArguments = {
    ArgumentRow{.name = "MODEL",
                .help = "Model path (HF Hub ID, local directory, or quantized file)"},
};

absl::Status ShowInfo(const Values& values, CommandContext& context) {
  const std::string& model = values.Text("MODEL");
  ASSIGN_OR_RETURN(const std::filesystem::path path, ResolveModel(model));
  ASSIGN_OR_RETURN(const std::string inspection,
                   AskWorker(context, "the inspection of the model", {"inspect", path}));
  ASSIGN_OR_RETURN(const ModelInfoText text, FormatModelInfo(inspection));
  return context.output.WriteResult(context.output.format() == Format::kJson ? text.json
                                                                             : text.human);
}

CommandResult RunInfo(const Values& values, CommandContext& context) {
  return {ShowInfo(values, context)};
}

}  // namespace

constexpr Command kInfoCommand = {.name = "info",
                                  .summary = "Display model information.",
                                  .arguments = kArguments,
                                  .options = {},
                                  .run = RunInfo,
                                  .notes = "Needs no daemon. Hub IDs are not in this version.\n"};

}  // namespace quantized
