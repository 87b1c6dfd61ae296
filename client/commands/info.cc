#include "client/commands/info.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "client/commands/ask_worker.h"
#include "client/commands/hub_model.h"
#include "client/commands/model_argument.h"
#include "client/render/model_info.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr std::array kArguments = {
    ArgumentRow{.name = "MODEL",
                .help = "Model path (HF Hub ID, local directory, or quantized file)",
                .kind = ValueKind::kPath},
};

constexpr std::array kExamples = {
    ExampleRow{"A model directory", "llm-quantize info ./model"},
    ExampleRow{"A model of the Hub", "llm-quantize info meta-llama/Llama-2-7b-hf"},
    ExampleRow{"A GGUF file, for a script", "llm-quantize --format json info ./model-Q4_K_M.gguf"},
    ExampleRow{"How far each tensor is from what it was made of",
               "llm-quantize info ./model-Q4_K_M.gguf --against ./model"},
};

constexpr std::array kOptions = {
    OptionRow{.name = "--tensors", .help = "List the tensors"},
    OptionRow{.name = "--verify", .help = "Read every tensor and check that it is sound"},
    OptionRow{.name = "--against",
              .kind = ValueKind::kPath,
              .value_name = "PATH",
              .help = "Show how far each tensor is from that of this model, which it was made of"},
};

// What the worker is asked.
absl::StatusOr<std::vector<std::string>> Question(const std::filesystem::path& path,
                                                  const Values& values) {
  std::vector<std::string> words = {"inspect", path};
  for (const char* option : {"--tensors", "--verify"}) {
    if (values.Flag(option)) words.emplace_back(option);
  }
  if (!values.Has("--against")) return words;
  ASSIGN_OR_RETURN(const NamedModel source, ResolveModel(values.Text("--against")));
  if (!source.hub_id.empty()) {
    return MakeError(Error::kModelNotFound,
                     fmt::format("--against: '{}' is no local model", source.hub_id),
                     "Give the path of the model that it was made of");
  }
  words.insert(words.end(), {"--against", source.path});
  return words;
}

absl::StatusOr<std::string> Inspect(const std::filesystem::path& path, const Values& values,
                                    CommandContext& context) {
  ASSIGN_OR_RETURN(std::vector<std::string> words, Question(path, values));
  return AskWorker(context, "the inspection of the model", std::move(words));
}

absl::StatusOr<std::string> InspectModel(const NamedModel& model, const Values& values,
                                         CommandContext& context) {
  if (model.hub_id.empty()) return Inspect(model.path, values, context);
  for (const char* option : {"--verify", "--against"}) {
    if (!values.Has(option)) continue;
    return MakeError(
        Error::kInvalidArgument,
        fmt::format("'{}' is no path here, so it is taken for a model of the Hugging Face Hub, "
                    "whose weights info does not fetch; {} reads them",
                    model.hub_id, option),
        "Check the path; of a model of the Hub give that of a local copy");
  }
  ASSIGN_OR_RETURN(const HubHeaders headers,
                   HubHeaders::Fetch(model.hub_id, HubHeaders::Texts::kFew, context));
  return Inspect(headers.path(), values, context);
}

absl::Status ShowInfo(const Values& values, CommandContext& context) {
  ASSIGN_OR_RETURN(const NamedModel model, ResolveModel(values.Text("MODEL")));
  ASSIGN_OR_RETURN(const std::string inspection, InspectModel(model, values, context));
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
    .options = kOptions,
    .run = RunInfo,
    .notes =
        "Needs no daemon. Of a model on the Hub it fetches no weights, only what "
        "describes them.\n",
    .examples = kExamples};

}  // namespace quantized
