// How long a walk will take, found by running one layer on few tokens: the answer of `--plan`.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/forward/layer_walk.h"
#include "core/forward/tensor_source.h"
#include "core/pipeline/calibrated_model.h"

namespace quantized {

// What a layer costs on this machine, as busy as it is now.
struct LayerCost {
  double fixed_seconds = 0;      // whatever the number of tokens
  double seconds_per_token = 0;  // of calibration

  double Seconds(uint32_t layers, uint64_t tokens) const {
    return layers * (fixed_seconds + seconds_per_token * static_cast<double>(tokens));
  }
};

// Runs the first layer of `source` on any tokens, in windows of `window_length`: with the
// statistics of `visitor` alone, on a few windows and on more of them (about 2048 tokens), and once
// with `visitor` on these. `compute`: as in WalkOptions. Errors: those of LayerWalk.
absl::StatusOr<LayerCost> ProbeLayer(const CalibratedModel& model, const TensorSource& source,
                                     uint32_t window_length, LayerVisitor& visitor,
                                     LayerCompute* compute, JobContext& context);

struct WalkForecast {
  double seconds = 0;
  uint64_t device_memory_bytes = 0;  // 0: the processor
};

// What a walk over all layers takes for the samples of `calibration`, with a visitor that computes
// on `threads`, on the device that `device` means, with statistics no larger than `most`. Errors:
// those of ProbeLayer and WalkDevice.
absl::StatusOr<WalkForecast> ForecastWalk(const CalibratedModel& model, const TensorSource& source,
                                          const CalibrationRequest& calibration,
                                          LayerVisitor& visitor, std::string_view device,
                                          StatisticsKind most, ThreadPool& threads);

}  // namespace quantized
