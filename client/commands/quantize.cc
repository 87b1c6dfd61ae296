#include "client/commands/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "client/commands/calibration_options.h"
#include "client/commands/formats.h"
#include "client/commands/gguf_options.h"
#include "client/commands/job_options.h"
#include "client/commands/levels.h"
#include "client/commands/model_argument.h"
#include "client/commands/output_name.h"
#include "client/commands/quality_options.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr std::array kArguments = {
    ArgumentRow{.name = "MODEL",
                .help = "Model path (HF Hub ID or local directory)",
                .kind = ValueKind::kPath},
    ArgumentRow{.name = kFormatArgument,
                .help = "Target format: gguf, awq, gptq",
                .choices = kOutputFormats},
};

constexpr std::array kOwnOptions = {
    OptionRow{.name = "--quant-level",
              .short_name = 'q',
              .kind = ValueKind::kLevels,
              .value_name = "TEXT",
              .help = "Quantization level (e.g., Q4_K_M, 4bit)",
              .required = true},
    kOutputDirOption,
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
              .kind = ValueKind::kText,
              .value_name = "INT",
              .help = "GPTQ group size, also of awq; auto: the largest that fits",
              .default_value = "128"},
    kNoCheckpointsOption,
    kCheckpointDirOption,
    kResumeOption,
    kOverwriteOption,
    kThreadsOption,
    kPreOption,
    OptionRow{.name = "--device",
              .kind = ValueKind::kText,
              .value_name = "TEXT",
              .help = "Where to encode and to run the model: auto, cpu, cuda, cuda:N",
              .default_value = "auto"},
    OptionRow{.name = "--strict",
              .help = "Fail where a tensor cannot take the level's type, instead of a warning"},
    kPlanOption,
    kDetachOption,
};

constexpr auto kOptions = [] {
  std::array<OptionRow, kOwnOptions.size() + kQualityOptions.size() + kCalibrationOptions.size() +
                            kGgufOptions.size()>
      rows;
  auto end = std::copy(kOwnOptions.begin(), kOwnOptions.end(), rows.begin());
  end = std::copy(kQualityOptions.begin(), kQualityOptions.end(), end);
  end = std::copy(kCalibrationOptions.begin(), kCalibrationOptions.end(), end);
  std::copy(kGgufOptions.begin(), kGgufOptions.end(), end);
  return rows;
}();

// Options that say the opposite of each other.
constexpr std::pair<std::string_view, std::string_view> kOpposites[] = {
    {"--include-weights", "--exclude-weights"},
    {"--leave-output-tensor", "--output-tensor-type"},
    {"--keep-split", "--split-max-size"},
    {"--imatrix", "--calibration-data"},
};

constexpr std::string_view kNotes =
    "A MODEL that is no path here is one of the Hugging Face Hub, org/name or org/name@revision.\n"
    "It is fetched into LLM_QUANTIZE_CACHE (~/.cache/llm-quantize if not set), with the token of\n"
    "HF_TOKEN or of huggingface_hub where it needs one.\n"
    "The output is named {MODEL}-{LEVEL}.gguf unless --output-name names it, to which .gguf is "
    "added\n"
    "where it is missing; the files of a split output get -00001-of-00003 and so on before it.\n"
    "awq and gptq make a folder, {MODEL}-{FORMAT}-{LEVEL}; their levels are 4bit, and of gptq "
    "also\n"
    "2bit, 3bit and 8bit. They calibrate with a text of ours unless --calibration-data names one:\n"
    ".txt (documents between blank lines), .json or .jsonl (texts, chats or token ids).\n"
    "The same command given again after an interruption resumes by itself. Ctrl-C cancels the job\n"
    "and keeps its checkpoint; closing the terminal leaves it running.\n"
    "gguf levels that need an importance matrix get one measured on the same text; --imatrix-out "
    "or\n--calibration-data has one measured for other levels, too.\n"
    "Several levels, as in -q Q4_K_M,Q6_K, are made in one job; where one fails the others stay.\n"
    "From --imatrix on the options are those of llama-quantize; --split-max-size is for awq and "
    "gptq, too.\n";

constexpr std::array kExamples = {
    ExampleRow{"Basic GGUF quantization",
               "llm-quantize quantize meta-llama/Llama-2-7b-hf gguf -q Q4_K_M"},
    ExampleRow{"AWQ with custom calibration",
               "llm-quantize quantize ./my-model awq -q 4bit --calibration-data ./data.json"},
    ExampleRow{"GPTQ with custom group size",
               "llm-quantize quantize meta-llama/Llama-2-7b-hf gptq -q 4bit --group-size 64"},
    ExampleRow{"Resume from checkpoint",
               "llm-quantize quantize ./model gguf -q Q4_K_M --resume ./checkpoint/"},
    ExampleRow{"JSON output for scripting",
               "llm-quantize --format json quantize ./model gguf -q Q4_K_M"},
    ExampleRow{"Size, memory and disk before any work, of several levels",
               "llm-quantize quantize ./model gguf -q Q4_K_M,Q6_K,Q8_0 --plan"},
    ExampleRow{"A job that nobody waits for",
               "llm-quantize quantize ./model gguf -q Q5_K_M --detach"},
};

absl::Status CheckDevice(const std::string& device) {
  constexpr std::string_view kNumbered = "cuda:";
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool numbered = device.size() > kNumbered.size() && device.starts_with(kNumbered) &&
                        std::all_of(device.begin() + kNumbered.size(), device.end(), is_digit);
  if (numbered || device == "auto" || device == "cpu" || device == "cuda") return absl::OkStatus();
  return MakeError(
      Error::kInvalidArgument,
      fmt::format("option '--device': '{}' is not one of auto, cpu, cuda, cuda:N", device));
}

// What can be refused without looking at a model.
absl::Status CheckOptions(const Values& values) {
  RETURN_IF_ERROR(CheckJobOptions(values));
  RETURN_IF_ERROR(CheckOpposites(values, kOpposites));
  if (values.Text(kFormatArgument) == kAwq && values.Text("--act-order") == "full") {
    return MakeError(Error::kInvalidArgument,
                     "option '--act-order': files of format awq cannot hold the order 'full'",
                     "Leave out --act-order, or quantize to gptq");
  }
  return CheckDevice(values.Text("--device"));
}

// What a text is calibrated with, beside --calibration-data.
constexpr std::string_view kTextOptions[] = {"--calibration-samples", "--sequence-length", "--seed",
                                             "--all-experts"};
constexpr std::string_view kPackedOptions[] = {"--group-size", "--awq-clip", "--asymmetric",
                                               "--act-order", "--damping"};
// Of these what the other method has only one answer to.
constexpr std::string_view kAwqOptions[] = {"--awq-clip"};
constexpr std::string_view kGptqOptions[] = {"--asymmetric", "--act-order", "--damping"};

void WarnOfOptionsWithoutEffect(const Values& values, Output& output) {
  const auto warn = [&](std::string_view name, std::string_view why) {
    if (values.Has(name)) output.Warn(fmt::format("{} has no effect {}", name, why));
  };
  const std::string& format = values.Text(kFormatArgument);
  const std::string on_levels = fmt::format("on {} levels", format);
  if (format == kAwq) {
    for (const std::string_view name : kGptqOptions) warn(name, on_levels);
  }
  if (format == kGptq) {
    for (const std::string_view name : kAwqOptions) warn(name, on_levels);
  }
  if (format != kGguf) {
    for (const OptionRow& row : kGgufOptions) {
      if (row.name != kSplitMaxSize) warn(row.name, on_levels);
    }
    return;
  }
  for (const std::string_view name : kPackedOptions) warn(name, on_levels);
  // What quality is measured on is taken alike.
  const bool measures_quality = values.Flag("--report") || values.Has("--max-kld");
  if (!values.Has("--imatrix") || measures_quality) return;
  for (const std::string_view name : kTextOptions) warn(name, "with --imatrix");
}

// The name that the user gave the output; empty where it is to be made.
absl::StatusOr<std::string> OutputName(const Values& values, size_t levels) {
  if (!values.Has("--output-name")) return "";
  if (levels > 1) {
    return MakeError(
        Error::kInvalidArgument,
        fmt::format("--output-name names one output, --quant-level asks for {}", levels),
        "Leave out --output-name: each output is named after its level");
  }
  return GivenOutputName(values.Text("--output-name"), values.Text(kFormatArgument));
}

// Of a model of the Hub, model_path stays empty.
absl::StatusOr<v1::QuantizeSpec> MakeSpec(const Values& values, const Environment& environment) {
  ASSIGN_OR_RETURN(const std::vector<std::string> levels,
                   ParseLevels(values.Text("--quant-level")));
  RETURN_IF_ERROR(CheckOptions(values));
  ASSIGN_OR_RETURN(const std::string name, OutputName(values, levels.size()));
  v1::QuantizeSpec spec;
  const std::string& format = values.Text(kFormatArgument);
  ASSIGN_OR_RETURN(v1::CalibrationSpec calibration, CalibrationSpecOf(values));
  ASSIGN_OR_RETURN(v1::PackedOptions packed, PackedOptionsOf(values));
  ASSIGN_OR_RETURN(v1::GgufOptions gguf, GgufOptionsOf(values));
  ASSIGN_OR_RETURN(std::optional<v1::QualitySpec> quality, QualitySpecOf(values));
  if (quality) *spec.mutable_quality() = *std::move(quality);
  // Without a word about it a gguf job that needs a matrix takes the defaults.
  const bool has_text = format != kGguf || gguf.measure_importance() ||
                        std::ranges::any_of(kTextOptions, [&values](std::string_view option) {
                          return values.Has(option);
                        });
  if (has_text) *spec.mutable_calibration() = std::move(calibration);
  if (format == kGguf) {
    *spec.mutable_gguf() = std::move(gguf);
  } else {
    *spec.mutable_packed() = std::move(packed);
    // The one option of gguf that these formats share.
    if (gguf.split_max_bytes() > 0) {
      spec.mutable_gguf()->set_split_max_bytes(gguf.split_max_bytes());
    }
  }
  const std::string& model = values.Text("MODEL");
  ASSIGN_OR_RETURN(const NamedModel named, ResolveModel(model));
  const std::filesystem::path repository = named.hub_id.substr(0, named.hub_id.find('@'));
  const std::filesystem::path& namesake = named.hub_id.empty() ? named.path : repository;
  const std::filesystem::path folder = AbsolutePath(values.Text("--output-dir"));
  for (const std::string& level : levels) {
    v1::OutputSpec& output = *spec.add_outputs();
    output.set_level(level);
    output.set_path(folder / (name.empty() ? AutoOutputName(namesake, level, format) : name));
  }
  spec.set_model_path(named.path);
  spec.set_model_name(model);
  spec.set_format(format);
  SetJobOptions(values, spec);
  spec.set_pre_tokenizer(values.Text(kPreOption.name));
  spec.set_strict(values.Flag("--strict"));
  spec.set_device(values.Text("--device"));
  if (const auto devices = environment.find("CUDA_VISIBLE_DEVICES"); devices != environment.end()) {
    spec.set_cuda_visible_devices(devices->second);
  }
  return spec;
}

CommandResult RunQuantize(const Values& values, CommandContext& context) {
  auto spec = MakeSpec(values, context.environment);
  if (!spec.ok()) return {spec.status()};
  WarnOfOptionsWithoutEffect(values, context.output);
  if (values.Has("--report-samples") && !spec->has_quality()) {
    context.output.Warn("--report-samples has no effect without --report or --max-kld");
  }
  if (values.Flag("--plan")) return {ShowPlan(*spec, context)};
  return RunJob(values, *std::move(spec), context);
}

}  // namespace

constexpr Command kQuantizeCommand = {.name = "quantize",
                                      .summary = "Quantize a model to a specified format.",
                                      .arguments = kArguments,
                                      .options = kOptions,
                                      .run = RunQuantize,
                                      .notes = kNotes,
                                      .examples = kExamples};

}  // namespace quantized
