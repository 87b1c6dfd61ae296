#include "core/pipeline/quantize_directory.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/thread_pool.h"
#include "core/calibrate/calibration_set.h"
#include "core/forward/half_tensor_source.h"
#include "core/forward/layer_walk.h"
#include "core/pipeline/calibrated_model.h"
#include "core/pipeline/checkpoint.h"
#include "core/pipeline/directory_level.h"
#include "core/pipeline/directory_method.h"
#include "core/pipeline/directory_plan.h"
#include "core/pipeline/layer_probe.h"
#include "core/pipeline/output_guard.h"
#include "core/pipeline/progress.h"
#include "core/pipeline/quality.h"
#include "core/pipeline/room.h"
#include "core/pipeline/walk_device.h"
#include "core/pipeline/weight_check.h"
#include "core/quantize/layer_quantizer.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

absl::Status CheckOutputs(const QuantizeRequest& request) {
  if (request.outputs.empty()) {
    return MakeError(Error::kInvalidArgument, "no quantization level was given");
  }
  std::set<std::string> levels;
  for (const OutputRequest& output : request.outputs) {
    ASSIGN_OR_RETURN(const BitLevel level, FindBitLevel(MethodOf(request.format), output.level));
    if (levels.insert(level.name).second) continue;
    return MakeError(Error::kInvalidArgument, StrCat("level ", level.name, " is given twice"));
  }
  return absl::OkStatus();
}

// Takes a layer and keeps nothing.
class NoSink : public QuantizedLayerSink {
 public:
  absl::Status OnModule(uint32_t /*layer*/, const Linear& /*linear*/,
                        const QuantizedLinear& /*quantized*/, ModuleReport /*report*/) override {
    return absl::OkStatus();
  }
  absl::Status OnTensor(uint32_t /*layer*/, const std::string& /*name*/,
                        std::span<const float> /*values*/) override {
    return absl::OkStatus();
  }
  absl::Status OnLayerDone(uint32_t /*layer*/) override { return absl::OkStatus(); }
};

// Of one level, as the first layer goes now.
absl::StatusOr<WalkForecast> ForecastWalkOf(const QuantizeRequest& request,
                                            const UnquantizedModel& model,
                                            const DirectoryPlan& plan, size_t thread_count) {
  ThreadPool threads(thread_count);
  NoSink sink;
  const HalfTensorSource half(*model.source);
  const auto quantizer = MakeLayerQuantizer(request, model, plan, sink, threads);
  return ForecastWalk(model, half, request.calibration, *quantizer, request.device,
                      StatisticsKind::kGram, threads);
}

}  // namespace

absl::StatusOr<QuantizeForecast> ForecastToDirectory(const QuantizeRequest& request,
                                                     size_t threads) {
  RETURN_IF_ERROR(CheckOutputs(request));
  ASSIGN_OR_RETURN(const UnquantizedModel model, OpenUnquantizedModel(request));
  QuantizeForecast forecast;
  forecast.model = model.summary;
  forecast.threads = threads;
  forecast.memory_available_bytes = AvailableMemoryBytes();
  const WalkSize size = WalkSizeOf(request.calibration, threads, /*changes_weights=*/true);
  const WalkNeeds walk =
      NeedsOf(model.config, size,
              {.memory_budget_bytes = ActivationBudgetBytes(),
               .all_tokens_to_experts = request.calibration.all_tokens_to_experts});
  DiskNeeds disk, passing_disk;
  for (const OutputRequest& output : request.outputs) {
    ASSIGN_OR_RETURN(const DirectoryPlan plan, DirectoryPlanOf(request, output, model));
    disk.Add(plan.output_path, forecast.outputs.emplace_back(ForecastOf(plan)).size_bytes);
    passing_disk.AddInTurn(PassingDiskNeeds(request, model.config, plan, size, walk));
    ASSIGN_OR_RETURN(const WalkForecast walk_forecast,
                     ForecastWalkOf(request, model, plan, threads));
    if (!forecast.walk) forecast.walk.emplace();
    forecast.walk->seconds += walk_forecast.seconds;
    forecast.walk->device_memory_bytes =
        std::max(forecast.walk->device_memory_bytes, walk_forecast.device_memory_bytes);
    forecast.memory_needed_bytes =
        std::max(forecast.memory_needed_bytes, LayerQuantizerMemoryBytes(plan, threads, walk));
    WarnOf(plan, forecast);
  }
  disk.Add(passing_disk);
  const fs::path folder = DeepestExisting(fs::absolute(request.outputs[0].path).parent_path());
  forecast.disk_needed_bytes = disk.BytesAt(folder);
  ASSIGN_OR_RETURN(forecast.disk_free_bytes, FreeDiskBytes(folder));
  for (const absl::Status& status :
       {CheckOutputFolders(request),
        CheckLayerQuantizerMemory(request, forecast.memory_needed_bytes), disk.Check()}) {
    if (!status.ok()) forecast.warnings.push_back(std::string(status.message()));
  }
  return forecast;
}

QuantizeOutcome QuantizeToDirectory(const QuantizeRequest& request, JobContext& context) {
  QuantizeOutcome outcome;
  std::vector<std::unique_ptr<DirectoryLevel>> levels;
  std::optional<UnquantizedModel> model;
  WalkDevice device;
  std::optional<QualityMeter> meter;
  CalibrationSet calibration;
  const auto prepare = [&]() -> absl::StatusOr<std::vector<CheckpointOptions>> {
    context.progress.OnPhase(Phase::kProbe);
    RETURN_IF_ERROR(CheckOutputs(request));
    ASSIGN_OR_RETURN(device, WalkDevice::Choose(request.device, context.progress));
    context.progress.OnMessage(StrCat("Loading model: ", request.model_name));
    ASSIGN_OR_RETURN(model, OpenUnquantizedModel(request));
    TellArchitecture(model->summary, context.progress);
    // What does not fit the model is refused before its text is tokenized.
    std::vector<DirectoryPlan> plans;
    for (const OutputRequest& output : request.outputs) {
      ASSIGN_OR_RETURN(DirectoryPlan plan, DirectoryPlanOf(request, output, *model));
      plans.push_back(std::move(plan));
    }
    RETURN_IF_ERROR(CheckOutputFolders(request));
    context.progress.OnPhase(Phase::kLoad);
    ASSIGN_OR_RETURN(calibration, LoadCalibrationSet(request.calibration, StatisticsKind::kGram,
                                                     *model, context));
    RETURN_IF_ERROR(device.Open(model->config, calibration.windows[0].size(), StatisticsKind::kGram,
                                context.progress));
    if (request.quality.is_wanted) {
      ASSIGN_OR_RETURN(
          meter, QualityMeter::Open(request, /*is_calibrated=*/true, *model, device, context));
    }
    std::vector<CheckpointOwner> owners;
    DiskNeeds disk, passing_disk;
    for (DirectoryPlan& plan : plans) {
      levels.push_back(std::make_unique<DirectoryLevel>(request, *model, calibration, device,
                                                        std::move(plan), context));
      RETURN_IF_ERROR(levels.back()->Prepare());
      if (!levels.back()->is_done()) owners.push_back(levels.back()->owner());
      disk.Add(levels.back()->lasting_disk());
      passing_disk.AddInTurn(levels.back()->passing_disk());
    }
    disk.Add(passing_disk);
    RETURN_IF_ERROR(disk.Check());
    if (!owners.empty()) {
      // Found in the last layer, it would cost all the work before it.
      RETURN_IF_ERROR(CheckHalves(HalfTensorSource(*model->source), model->tensors, context));
    }
    return OptionsOfEach(request.checkpoint, owners);
  };
  const absl::StatusOr<std::vector<CheckpointOptions>> options = prepare();
  outcome.status = options.status();
  size_t open = 0;
  for (size_t i = 0; options.ok() && i < levels.size(); ++i) {
    absl::Status status;
    if (!levels[i]->is_done()) {
      status = levels[i]->Run((*options)[open++], meter ? &*meter : nullptr);
    } else if (meter) {
      status = levels[i]->AssessExisting(*meter);
    }
    if (status.ok()) outcome.finished.push_back(levels[i]->result());
    outcome.status.Update(status);
    if (!status.ok() && ErrorOf(status) == Error::kCancelled) break;
  }
  return outcome;
}

}  // namespace quantized
