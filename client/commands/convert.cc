#include "client/commands/convert.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <utility>

#include "client/commands/ask_worker.h"
#include "client/commands/confirm.h"
#include "client/commands/formats.h"
#include "client/commands/job_options.h"
#include "client/commands/levels.h"
#include "client/commands/model_argument.h"
#include "client/commands/output_name.h"
#include "client/render/conversions.h"
#include "client/render/plan.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr std::array kArguments = {
    ArgumentRow{.name = "INPUT_MODEL", .help = "Path to quantized model", .kind = ValueKind::kPath},
    ArgumentRow{.name = kFormatArgument,
                .help = "Target format: gguf, awq, gptq",
                .choices = kOutputFormats},
};

constexpr std::array kOptions = {
    kOutputDirOption,
    OptionRow{.name = "--output-name",
              .short_name = 'n',
              .kind = ValueKind::kText,
              .value_name = "TEXT",
              .help = "Output filename"},
    OptionRow{.name = "--force", .help = "Skip quality degradation warning"},
    OptionRow{.name = "--quant-level",
              .short_name = 'q',
              .kind = ValueKind::kLevels,
              .value_name = "TEXT",
              .help = "Level of the output (if not set, the nearest one that loses nothing)"},
    OptionRow{.name = "--list",
              .help = "Show what can be converted to what, and what is lost",
              .stands_alone = true},
    kNoCheckpointsOption,
    kCheckpointDirOption,
    kResumeOption,
    kOverwriteOption,
    kThreadsOption,
    kPreOption,
    kPlanOption,
    kDetachOption,
};

constexpr std::string_view kNotes =
    "Where weights have to be quantized anew, convert says how much they change and asks first; "
    "without\na terminal it stops with exit code 9 unless --force is given. A model of 16 or 32 "
    "bits "
    "is for quantize.\n"
    "The output is named as that of quantize is.\n";

constexpr std::array kExamples = {
    ExampleRow{"What can be converted to what", "llm-quantize convert --list"},
    ExampleRow{"GGUF of a GPTQ model, with every weight as it is",
               "llm-quantize convert ./my-model-gptq-4bit gguf"},
    ExampleRow{"A level that loses something, without being asked",
               "llm-quantize convert ./my-model-gptq-4bit gguf -q Q5_K_M --force"},
};

absl::Status ShowConversions(CommandContext& context) {
  ASSIGN_OR_RETURN(const std::string table,
                   AskWorker(context, "the list of conversions", {"conversions"}));
  ASSIGN_OR_RETURN(const ConversionsText text, FormatConversions(table));
  return context.output.WriteResult(context.output.format() == Format::kJson ? text.json
                                                                             : text.human);
}

absl::StatusOr<std::filesystem::path> FindInput(const std::string& input) {
  if (Exists(input)) return AbsolutePath(input);
  return MakeError(Error::kModelNotFound, fmt::format("Model '{}' not found", input),
                   "Give the path of a quantized model: a GGUF file or an AWQ or GPTQ directory");
}

absl::StatusOr<std::string> WantedLevel(const Values& values) {
  if (!values.Has("--quant-level")) return "";
  ASSIGN_OR_RETURN(const std::vector<std::string> levels,
                   ParseLevels(values.Text("--quant-level")));
  if (levels.size() == 1) return levels[0];
  return MakeError(
      Error::kInvalidArgument,
      fmt::format("option '--quant-level': convert makes one level, found {}", levels.size()));
}

// The output's name has its level, which is known only from the plan.
absl::Status SetOutput(const Values& values, const std::string& level, v1::QuantizeSpec& spec) {
  std::string name = AutoOutputName(spec.model_path(), level, spec.format());
  if (values.Has("--output-name")) {
    ASSIGN_OR_RETURN(name, GivenOutputName(values.Text("--output-name"), spec.format()));
  }
  v1::OutputSpec& output = *spec.mutable_outputs(0);
  output.set_level(level);
  output.set_path(AbsolutePath(values.Text("--output-dir")) / name);
  return absl::OkStatus();
}

absl::StatusOr<v1::QuantizeSpec> MakeSpec(const Values& values) {
  RETURN_IF_ERROR(CheckJobOptions(values));
  ASSIGN_OR_RETURN(const std::string level, WantedLevel(values));
  v1::QuantizeSpec spec;
  ASSIGN_OR_RETURN(const std::filesystem::path path, FindInput(values.Text("INPUT_MODEL")));
  spec.set_model_path(path);
  spec.set_model_name(values.Text("INPUT_MODEL"));
  spec.set_format(values.Text(kFormatArgument));
  spec.mutable_conversion();
  spec.add_outputs();
  RETURN_IF_ERROR(SetOutput(values, level, spec));
  spec.set_pre_tokenizer(values.Text(kPreOption.name));
  SetJobOptions(values, spec);
  return spec;
}

// Where weights are quantized anew the user has to want it. What is lost is told where the question
// is asked, whatever --verbosity and stderr are, and on stderr where that is elsewhere.
absl::Status AskForLoss(const Values& values, const ConversionPlan& plan, CommandContext& context) {
  if (plan.fidelity != "requantized") return absl::OkStatus();
  const std::string warning = fmt::format(
      "from {} to {} {} weights are quantized anew ({}) and change by about {}; quantizing the "
      "original model loses less",
      plan.from, values.Text(kFormatArgument), plan.level, plan.why,
      WeightChangeOf(plan.relative_error));
  if (values.Flag("--force")) {
    context.output.Warn(warning);
    return absl::OkStatus();
  }
  const absl::StatusOr<bool> answer =
      Confirm(fmt::format("Warning: {}\nConvert all the same?", warning));
  if (!answer.ok() || isatty(STDERR_FILENO) == 0) context.output.Warn(warning);
  if (answer.ok() && *answer) return absl::OkStatus();
  const std::string why =
      answer.ok() ? "" : fmt::format(": {}", std::string(answer.status().message()));
  return MakeError(Error::kCancelled, fmt::format("the loss of quality was not accepted{}", why),
                   "Use --force to convert all the same");
}

absl::StatusOr<v1::QuantizeSpec> PlanAndAsk(const Values& values, CommandContext& context) {
  ASSIGN_OR_RETURN(v1::QuantizeSpec spec, MakeSpec(values));
  ASSIGN_OR_RETURN(const std::string answer, AskPlan(spec, context));
  ASSIGN_OR_RETURN(const ConversionPlan plan, ReadConversionPlan(answer));
  RETURN_IF_ERROR(SetOutput(values, plan.level, spec));
  if (values.Flag("--plan")) return spec;
  RETURN_IF_ERROR(AskForLoss(values, plan, context));
  spec.mutable_conversion()->set_may_requantize(plan.fidelity == "requantized");
  return spec;
}

CommandResult RunConvert(const Values& values, CommandContext& context) {
  if (values.Flag("--list")) return {ShowConversions(context)};
  absl::StatusOr<v1::QuantizeSpec> spec = PlanAndAsk(values, context);
  if (!spec.ok()) return {spec.status()};
  if (values.Flag("--plan")) return {ShowPlan(*spec, context)};
  return RunJob(values, *std::move(spec), context);
}

}  // namespace

constexpr Command kConvertCommand = {.name = "convert",
                                     .summary = "Convert between quantized formats.",
                                     .arguments = kArguments,
                                     .options = kOptions,
                                     .run = RunConvert,
                                     .notes = kNotes,
                                     .examples = kExamples};

}  // namespace quantized
