#include "client/commands/quantize.h"

#include <fmt/format.h>

#include <array>
#include <system_error>

#include "client/commands/follow.h"
#include "client/commands/formats.h"
#include "client/commands/model_argument.h"
#include "client/commands/output_name.h"
#include "core/base/error.h"
#include "core/base/ids.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr std::array kArguments = {
    ArgumentRow{.name = "MODEL", .help = "Model path (HF Hub ID or local directory)"},
    ArgumentRow{.name = "OUTPUT_FORMAT",
                .help = "Target format: gguf, awq, gptq",
                .choices = kOutputFormats},
};

constexpr std::array kOptions = {
    OptionRow{.name = "--quant-level",
              .short_name = 'q',
              .kind = ValueKind::kText,
              .value_name = "TEXT",
              .help = "Quantization level (e.g., Q4_K_M, 4bit)",
              .required = true},
    OptionRow{.name = "--output-dir",
              .short_name = 'o',
              .kind = ValueKind::kPath,
              .value_name = "PATH",
              .help = "Output directory",
              .default_value = "."},
    OptionRow{.name = "--output-name",
              .short_name = 'n',
              .kind = ValueKind::kText,
              .value_name = "TEXT",
              .help = "Output filename (auto-generated if not set)"},
    OptionRow{.name = "--calibration-data",
              .kind = ValueKind::kPath,
              .value_name = "PATH",
              .help = "Custom calibration dataset"},
    OptionRow{.name = "--calibration-samples",
              .kind = ValueKind::kCount,
              .value_name = "INT",
              .help = "Number of calibration samples",
              .default_value = "256"},
    OptionRow{.name = "--group-size",
              .kind = ValueKind::kCount,
              .value_name = "INT",
              .help = "GPTQ group size",
              .default_value = "128"},
    OptionRow{.name = "--no-checkpoints", .help = "Disable layer-level checkpoints"},
    OptionRow{.name = "--checkpoint-dir",
              .kind = ValueKind::kPath,
              .value_name = "PATH",
              .help = "Checkpoint directory",
              .default_value = "./.checkpoint",
              .env = "LLM_QUANTIZE_CHECKPOINT_DIR"},
    OptionRow{.name = "--resume",
              .kind = ValueKind::kPath,
              .value_name = "PATH",
              .help = "Resume from checkpoint"},
    OptionRow{.name = "--overwrite", .help = "Replace an output that is there already"},
    OptionRow{.name = "--threads",
              .kind = ValueKind::kCount,
              .value_name = "INT",
              .help = "Threads to use (all processors if not set)"},
    OptionRow{.name = "--pre",
              .kind = ValueKind::kText,
              .value_name = "TEXT",
              .help = "Name of the pre-tokenizer, where it is not recognised"},
    OptionRow{.name = "--detach", .help = "Submit the job, print its id and do not wait for it"},
};

constexpr std::string_view kNotes =
    "The output is named {MODEL}-{LEVEL}.gguf unless --output-name names it, to which .gguf is "
    "added\n"
    "where it is missing. The same command given again after an interruption resumes by itself.\n"
    "Ctrl-C cancels the job and keeps its checkpoint; closing the terminal leaves it running.\n";

// What can be refused without looking at a model.
absl::Status CheckOptions(const Values& values) {
  RETURN_IF_ERROR(CheckLevelSyntax(values.Text("--quant-level")));
  if (values.Has("--resume") && values.Flag("--no-checkpoints")) {
    return MakeError(Error::kInvalidArgument, "--resume cannot be used with --no-checkpoints",
                     "Leave out one of them");
  }
  const std::string& calibration = values.Text("--calibration-data");
  std::error_code error;
  if (values.Has("--calibration-data") && !std::filesystem::exists(calibration, error)) {
    return MakeError(Error::kInvalidArgument,
                     fmt::format("option '--calibration-data': '{}' does not exist", calibration));
  }
  const std::string& format = values.Text("OUTPUT_FORMAT");
  if (format != kGguf) {
    return MakeError(Error::kNotImplemented,
                     fmt::format("the format '{}' is not in this version", format),
                     "This version makes gguf");
  }
  if (values.Has("--calibration-data")) {
    return MakeError(Error::kNotImplemented,
                     "calibration data for gguf levels is not in this version",
                     "Leave out --calibration-data to quantize without an importance matrix");
  }
  return absl::OkStatus();
}

void WarnOfOptionsWithoutEffect(const Values& values, Output& output) {
  for (const std::string_view name : {"--calibration-samples", "--group-size"}) {
    if (values.Has(name)) output.Warn(fmt::format("{} has no effect on gguf levels", name));
  }
}

absl::StatusOr<v1::SubmitJobRequest> MakeRequest(const Values& values) {
  RETURN_IF_ERROR(CheckOptions(values));
  std::string name;
  if (values.Has("--output-name")) {
    ASSIGN_OR_RETURN(name, GivenOutputName(values.Text("--output-name")));
  }
  const std::string& model = values.Text("MODEL");
  const std::string& level = values.Text("--quant-level");
  ASSIGN_OR_RETURN(const std::filesystem::path model_path, ResolveModel(model));
  if (name.empty()) name = AutoOutputName(model_path, level);

  v1::SubmitJobRequest request;
  request.set_request_id(NewUuid());
  v1::QuantizeSpec& spec = *request.mutable_spec()->mutable_quantize();
  spec.set_model_path(model_path);
  spec.set_model_name(model);
  spec.set_format(values.Text("OUTPUT_FORMAT"));
  spec.add_levels(level);
  spec.set_output_path(AbsolutePath(values.Text("--output-dir")) / name);
  spec.set_overwrite(values.Flag("--overwrite"));
  v1::CheckpointPolicy& checkpoint = *spec.mutable_checkpoint();
  checkpoint.set_enabled(!values.Flag("--no-checkpoints"));
  checkpoint.set_directory(AbsolutePath(values.Text("--checkpoint-dir")));
  if (values.Has("--resume")) checkpoint.set_resume_from(AbsolutePath(values.Text("--resume")));
  spec.set_threads(static_cast<uint32_t>(values.Count("--threads")));
  spec.set_pre_tokenizer(values.Text("--pre"));
  return request;
}

CommandResult RunQuantize(const Values& values, CommandContext& context) {
  auto request = MakeRequest(values);
  if (!request.ok()) return {request.status()};
  WarnOfOptionsWithoutEffect(values, context.output);
  const NewJob job{*std::move(request), /*watch=*/!values.Flag("--detach")};
  return FollowJob({.job = job}, context);
}

}  // namespace

constexpr Command kQuantizeCommand = {.name = "quantize",
                                      .summary = "Quantize a model to a specified format.",
                                      .arguments = kArguments,
                                      .options = kOptions,
                                      .run = RunQuantize,
                                      .notes = kNotes};

}  // namespace quantized
