#include "core/pipeline/quality.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "core/forward/model_comparison.h"
#include "core/forward/walk_needs.h"
#include "core/pipeline/room.h"
#include "core/report/html_report.h"
#include "core/report/module_errors.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

// The errors that the quantizer found, beside those of the weights. AWQ moves scale between
// matrices, so that a weight by itself says nothing there: also where the output's error is not
// known, since a mixture's scales are moved into all its experts.
void AddOutputErrors(std::span<const ModuleReport> reports, bool weights_are_scaled,
                     std::vector<ModuleError>& modules) {
  std::map<std::string_view, std::optional<double>> errors;
  for (const ModuleReport& report : reports) errors[report.module] = report.relative_error;
  for (ModuleError& module : modules) {
    const auto found = errors.find(module.module);
    if (found == errors.end()) continue;
    module.output_error = found->second;
    if (weights_are_scaled) module.weight_error.reset();
  }
}

constexpr std::string_view kJsonSuffix = kReportSuffixes[0], kHtmlSuffix = kReportSuffixes[1];
constexpr uint64_t kMaxReportBytes = 256 << 20;

// Whether `path` is a report of ours on such a model, as an earlier attempt of a job leaves it.
bool IsReportOn(const fs::path& path, const std::string& model, const std::string& format) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxReportBytes);
  const auto json = text.ok() ? nlohmann::json::parse(*text, nullptr, false) : nlohmann::json();
  const auto is = [&](const char* key, const std::string& value) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() &&
           found->get_ref<const std::string&>() == value;
  };
  return json.is_object() && json.contains("report_version") && is("model", model) &&
         is("format", format);
}

// The names of the reports are taken by nothing else, or it may be replaced.
absl::Status CheckReportFiles(const QuantizeRequest& request, const std::string& model) {
  if (!request.quality.report || request.overwrite) return absl::OkStatus();
  for (const OutputRequest& output : request.outputs) {
    if (IsReportOn(ReportPath(output.path, kJsonSuffix), model, request.format)) continue;
    for (const std::string_view suffix : kReportSuffixes) {
      const fs::path path = ReportPath(output.path, suffix);
      if (!Exists(path)) continue;
      return MakeError(Error::kInvalidArgument,
                       StrCat("the report ", path.string(), " would replace a file that is there"),
                       "Use --overwrite to replace it, or choose another output name");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<QualityMeter> QualityMeter::Open(const QuantizeRequest& request, bool is_calibrated,
                                                const CalibratedModel& model, WalkDevice& device,
                                                JobContext& context) {
  RETURN_IF_ERROR(CheckReportFiles(request, model.summary.name));
  QualityMeter meter(request, model, device, context);
  ASSIGN_OR_RETURN(meter.text_, LoadHeldOutSet(request.calibration, request.quality.samples,
                                               is_calibrated, model, context));
  RETURN_IF_ERROR(CheckPredictable(model.config, *model.source, meter.text_.windows))
      << "measuring the quality on " << meter.text_.description;
  RETURN_IF_ERROR(meter.CheckRoom());
  RETURN_IF_ERROR(device.Open(model.config, meter.text_.windows[0].size(), StatisticsKind::kNone,
                              context.progress));
  return meter;
}

// Half of what there is for each of the two models.
WalkOptions QualityMeter::Walk() const {
  return {.memory_budget_bytes = activation_budget_bytes_ / 2,
          .spill_folder = fs::temp_directory_path(),
          .compute = device_->compute()};
}

absl::Status QualityMeter::CheckRoom() const {
  const WalkSize size = WalkSizeOf(text_, context_->threads.size(), /*changes_weights=*/false);
  WalkNeeds needs = NeedsOf(model_->config, size, Walk());
  needs.memory_bytes *= 2;
  needs.disk_bytes *= 2;
  RETURN_IF_ERROR(CheckWalkMemory(model_->config, needs, "measuring the quality"));
  return CheckDisk(needs.disk_bytes, Walk().spill_folder);
}

absl::StatusOr<QualitySummary> QualityMeter::Measure(const TensorSource& quantized,
                                                     const Facts& facts) const {
  const CalibrationSet& text = text_;
  context_->progress.OnMessage(StrCat("Measuring quality of ", facts.level, ": ",
                                      text.windows.size(), " samples of ", text.windows[0].size(),
                                      " tokens, ", text.description));
  QualityReport report = {.model = model_->summary.name,
                          .architecture = model_->summary.architecture,
                          .format = request_->format,
                          .level = facts.level,
                          .tool_version = std::string(kVersion),
                          .bits_per_weight = facts.bits_per_weight,
                          .size_bytes = facts.size_bytes,
                          .settings = facts.settings,
                          .text = StrCat(text.description, ", held out"),
                          .window_length = text.windows[0].size()};
  if (facts.calibration.windows > 0) {
    report.calibration =
        StrCat(facts.calibration.windows, " samples of ", facts.calibration.sequence_length,
               " tokens, ", facts.calibration.description);
  }
  ASSIGN_OR_RETURN(report.comparison,
                   CompareModels(model_->config, model_->hf_config, *model_->source, quantized,
                                 text.windows, Walk(), *context_));
  if (request_->quality.report) {
    ASSIGN_OR_RETURN(report.modules,
                     MeasureTensorErrors(model_->config, *model_->source, quantized, *context_));
    AddOutputErrors(facts.modules, request_->format == "awq", report.modules);
  }

  const ModelComparison& comparison = report.comparison;
  QualitySummary quality = {.description = report.text,
                            .tokens = comparison.tokens,
                            .source_perplexity = comparison.source_perplexity,
                            .perplexity = comparison.perplexity,
                            .kl_divergence = comparison.kl_divergence,
                            .kl_standard_error = comparison.kl_standard_error,
                            .top1_agreement = comparison.top1_agreement,
                            .report_files = {},
                            .table = ToTable(report)};
  if (request_->quality.report) {
    const std::pair<std::string_view, std::string> files[] = {
        {kJsonSuffix, ToJson(report).dump(1) + "\n"}, {kHtmlSuffix, ToHtml(report)}};
    for (const auto& [suffix, contents] : files) {
      const fs::path path = ReportPath(facts.output_path, suffix);
      RETURN_IF_ERROR(WriteFileAtomically(path, contents));
      quality.report_files.push_back(path);
    }
  }
  return quality;
}

absl::Status QualityMeter::CheckLimit(const QualitySummary& quality,
                                      const std::string& level) const {
  const std::optional<double> limit = request_->quality.max_kld;
  if (!limit || quality.kl_divergence <= *limit) return absl::OkStatus();
  return MakeError(
      Error::kValidationFailed,
      StrCat("the KL divergence of ", level, " from its source is ", quality.kl_divergence,
             ", --max-kld allows ", *limit),
      "Take a level of more bits; or give a higher --max-kld, and the job goes on with "
      "what it has made");
}

fs::path ReportPath(const fs::path& output_path, std::string_view suffix) {
  const fs::path name =
      output_path.extension() == ".gguf" ? output_path.stem() : output_path.filename();
  return output_path.parent_path() / StrCat(name.string(), suffix);
}

}  // namespace quantized
