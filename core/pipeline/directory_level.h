// One level of a job of format awq or gptq, from its plan to its final name: the walk that
// quantizes layer after layer, the files beside the weights, the measuring of quality, validation
// and publishing; and how all of it goes on where an earlier attempt stopped.
// docs/design/calibrated.md. Belongs to the job's thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/calibrate/calibration_set.h"
#include "core/forward/half_tensor_source.h"
#include "core/forward/layer_walk.h"
#include "core/forward/packed_tensor_source.h"
#include "core/forward/tensor_source.h"
#include "core/pipeline/calibrated_model.h"
#include "core/pipeline/checkpoint.h"
#include "core/pipeline/directory_method.h"
#include "core/pipeline/directory_output.h"
#include "core/pipeline/directory_plan.h"
#include "core/pipeline/layer_output.h"
#include "core/pipeline/quality.h"
#include "core/pipeline/quantize.h"
#include "core/pipeline/room.h"
#include "core/pipeline/walk_device.h"
#include "core/quantize/layer_quantizer.h"

namespace quantized {

class DirectoryLevel {
 public:
  // `plan` is that of DirectoryPlanOf, `device` is ready for walks over `calibration`. All other
  // arguments must outlive *this.
  DirectoryLevel(const QuantizeRequest& request, const UnquantizedModel& model,
                 const CalibrationSet& calibration, const WalkDevice& device, DirectoryPlan plan,
                 JobContext& context);
  DirectoryLevel(const DirectoryLevel&) = delete;
  DirectoryLevel& operator=(const DirectoryLevel&) = delete;

  // Comes first, and before any work: finds out whether the output is there already, made by the
  // same job; else whether memory suffices. Errors: those of DirectoryOutput::FindExisting;
  // kOutOfMemory.
  absl::Status Prepare();
  // Of disk, where the output is not there already: what stays, and what goes again before the next
  // level.
  DiskNeeds lasting_disk() const;
  DiskNeeds passing_disk() const;
  // The output was there already: nothing is to be run.
  bool is_done() const { return done_; }
  CheckpointOwner owner() const;

  // Makes the output. `checkpoint` is what OptionsOfEach has for owner(); `meter` may be null:
  // quality is not wanted. What stays after an error: docs/formats/checkpoint.md. Errors: those of
  // DirectoryOutput, LayerWalk and QualityMeter; kCheckpoint, kCancelled.
  absl::Status Run(const CheckpointOptions& checkpoint, const QualityMeter* meter);
  // Measures an output that was there already. Errors: those of PackedTensorSource and
  // QualityMeter.
  absl::Status AssessExisting(const QualityMeter& meter);

  // Of an output that is made, or was there already.
  QuantizeResult result() const;

 private:
  std::string Fingerprint() const;
  WalkOptions Walk() const;
  WalkSize SizeOfWalk() const;
  WalkNeeds NeedsOfWalk() const;
  absl::Status Make(const CheckpointOptions& checkpoint, const QualityMeter* meter);
  absl::Status QuantizeLayers(const HalfTensorSource& half, LayerOutput& sink);
  absl::Status Replay(LayerWalk& walk);
  absl::StatusOr<std::unique_ptr<PackedTensorSource>> OpenPacked(
      const std::filesystem::path& folder) const;
  absl::Status Assess(const QualityMeter& meter, const TensorSource& quantized,
                      std::span<const ModuleReport> modules);
  absl::Status WriteCompanions(const LayerOutput& sink);
  void TakeExisting(const std::string& provenance);

  const QuantizeRequest& request_;
  const UnquantizedModel& model_;
  const CalibrationSet& calibration_;
  const WalkDevice& device_;
  JobContext& context_;
  DirectoryPlan plan_;
  // Chosen once: what is planned holds for the walk.
  const uint64_t activation_budget_bytes_ = ActivationBudgetBytes();
  std::optional<DirectoryOutput> output_;
  bool done_ = false;
  std::optional<QualitySummary> quality_;
  bool is_whole_ = false;  // all is made, and sound: whatever measuring it comes to, it stays
  uint64_t reused_layers_ = 0;
  std::optional<double> mean_error_;
  std::vector<ModuleReport> existing_reports_;  // of an output that was there already
  std::vector<std::string> notes_;
};

}  // namespace quantized
