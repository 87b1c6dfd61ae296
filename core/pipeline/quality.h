// How good a job's result is: the quantized model and its source predict text that no calibration
// saw, and their weights are compared. Made where the user asks for a report or sets a limit.
// docs/design/quality-report.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/calibrate/calibration_set.h"
#include "core/forward/layer_walk.h"
#include "core/forward/tensor_source.h"
#include "core/pipeline/calibrated_model.h"
#include "core/pipeline/quantize.h"
#include "core/pipeline/walk_device.h"
#include "core/quantize/layer_quantizer.h"
#include "core/report/quality_report.h"

namespace quantized {

// Of one job: what its results are measured with.
class QualityMeter {
 public:
  // Loads the held-out windows: of the job's calibration data where these have any left, else of
  // the built-in text; looks whether the model can predict them; and opens `device`, where both
  // models are run. `model`, `device` and `context` must outlive the result. Errors: those of
  // LoadHeldOutSet, CheckPredictable and WalkDevice; kInvalidArgument where a file that is none of
  // our reports has the name of one; kOutOfMemory, kDiskFull. `is_calibrated`: the job looks at its
  // calibration data.
  static absl::StatusOr<QualityMeter> Open(const QuantizeRequest& request, bool is_calibrated,
                                           const CalibratedModel& model, WalkDevice& device,
                                           JobContext& context);

  // What is known of a result beside the comparison.
  struct Facts {
    std::filesystem::path output_path;  // its final name
    std::string level;
    double bits_per_weight = 0;
    uint64_t size_bytes = 0;
    CalibrationSummary calibration;
    std::vector<QualityReport::Setting> settings;
    std::span<const ModuleReport> modules;  // of awq and gptq
  };
  // Compares, and writes OUTPUT.report.json and OUTPUT.report.html where the request wants them.
  // Errors: those of CompareModels and MeasureTensorErrors; kDiskFull, kIo.
  absl::StatusOr<QualitySummary> Measure(const TensorSource& quantized, const Facts& facts) const;

  // kValidationFailed for a result beyond the request's limit.
  absl::Status CheckLimit(const QualitySummary& quality, const std::string& level) const;

 private:
  QualityMeter(const QuantizeRequest& request, const CalibratedModel& model,
               const WalkDevice& device, JobContext& context)
      : request_(&request), model_(&model), device_(&device), context_(&context) {}

  WalkOptions Walk() const;
  absl::Status CheckRoom() const;

  const QuantizeRequest* request_;
  const CalibratedModel* model_;
  const WalkDevice* device_;
  JobContext* context_;
  CalibrationSet text_;
  uint64_t activation_budget_bytes_ = ActivationBudgetBytes();  // chosen once: see CheckRoom
};

inline constexpr std::string_view kReportSuffixes[] = {".report.json", ".report.html"};

// OUTPUT without ".gguf", and `suffix`, one of these.
std::filesystem::path ReportPath(const std::filesystem::path& output_path, std::string_view suffix);

}  // namespace quantized
