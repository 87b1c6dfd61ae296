// The importance matrix of a Hugging Face directory, measured in the job that needs it: the model
// runs on calibration text, layer by layer, and the squares of what enters each linear are summed.
// A cache keeps matrices by model, text and settings; a walk that was interrupted goes on from its
// last layer. docs/design/importance.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/calibrate/importance_file.h"
#include "core/pipeline/calibrated_model.h"
#include "core/pipeline/layer_probe.h"
#include "core/pipeline/plan.h"
#include "core/pipeline/quantize.h"
#include "core/pipeline/room.h"
#include "core/pipeline/walk_device.h"
#include "core/source/model_source.h"

namespace quantized {

struct MeasuredImportance {
  ImportanceFile file;
  CalibrationSummary calibration;
  std::vector<std::string> notes;  // experts that saw no or little text
};

// Whether the job has to measure a matrix: it asks for one, or one of `plans`, made without, needs
// one and `source` can be measured.
bool MustMeasureImportance(const QuantizeRequest& request, const ModelSource& source,
                           std::span<const QuantizePlan> plans);

// The model that a matrix is measured on. Errors: those of OpenCalibratedModel.
absl::StatusOr<CalibratedModel> OpenMeasuredModel(const QuantizeRequest& request);

struct ImportanceForecast {
  uint64_t memory_bytes = 0;  // of the host, while it is measured
  DiskNeeds disk;             // gone again before a level is made
  absl::Status room;          // kOutOfMemory: the measuring would end at once
  WalkForecast walk;          // by a probe of the first layer
};
// Errors: those of ProbeLayer.
absl::StatusOr<ImportanceForecast> ForecastImportance(const QuantizeRequest& request,
                                                      const CalibratedModel& model, size_t threads);

// Opens `device` and runs the model there. Tells the context phase, layers and warnings. Errors:
// those of LoadCalibrationSet, WalkDevice and LayerWalk; kOutOfMemory and kDiskFull before any
// work; kValidationFailed where the model's activations are not finite.
absl::StatusOr<MeasuredImportance> MeasureImportance(const QuantizeRequest& request,
                                                     const CalibratedModel& model,
                                                     WalkDevice& device, JobContext& context);

}  // namespace quantized
