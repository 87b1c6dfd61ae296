// The importance matrix of a Hugging Face directory, measured in the job that needs it: the model
// runs on calibration text, layer by layer, and the squares of what enters each linear are summed.
// A cache keeps matrices by model, text and settings; a walk that was interrupted goes on from its
// last layer. docs/design/importance.md.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/calibrate/importance_file.h"
#include "core/pipeline/plan.h"
#include "core/pipeline/quantize.h"
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

// Host memory that measuring takes beside what encoding does. Errors: those of OpenCalibratedModel.
absl::StatusOr<uint64_t> ImportanceMemoryBytes(const QuantizeRequest& request);

// Seconds that measuring takes, by a probe of the first layer. Errors: those of OpenCalibratedModel
// and ProbeLayer.
absl::StatusOr<double> ImportanceSeconds(const QuantizeRequest& request, size_t threads);

// Tells the context phase, layers and warnings. Errors: those of OpenCalibratedModel,
// LoadCalibrationSet and LayerWalk; kOutOfMemory and kDiskFull before any work; kValidationFailed
// where the model's activations are not finite.
absl::StatusOr<MeasuredImportance> MeasureImportance(const QuantizeRequest& request,
                                                     JobContext& context);

}  // namespace quantized
