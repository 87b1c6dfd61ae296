#include "core/pipeline/layer_probe.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <vector>

#include "core/base/no_progress.h"
#include "core/base/status_macros.h"
#include "core/pipeline/walk_device.h"

namespace quantized {
namespace {

constexpr uint32_t kProbeTokens = 2048;

// Asks for the statistics of another visitor, and does nothing with them.
class StatisticsAlone : public LayerVisitor {
 public:
  explicit StatisticsAlone(const LayerVisitor& visitor) : visitor_(visitor) {}

  StatisticsKind Wants(Site site) const override { return visitor_.Wants(site); }
  bool ChangesWeights() const override { return visitor_.ChangesWeights(); }
  bool ObservesBlocks() const override { return visitor_.ObservesBlocks(); }

 private:
  const LayerVisitor& visitor_;
};

// Tokens that differ; which ones they are costs nothing.
std::vector<std::vector<uint32_t>> AnyWindows(uint32_t length, uint32_t vocabulary) {
  std::vector<std::vector<uint32_t>> windows(std::max(kProbeTokens / length, 1u));
  uint32_t id = 0;
  for (std::vector<uint32_t>& window : windows) {
    for (uint32_t i = 0; i < length; ++i) window.push_back((id += 7919) % vocabulary);
  }
  return windows;
}

}  // namespace

absl::StatusOr<LayerCost> ProbeLayer(const CalibratedModel& model, const TensorSource& source,
                                     uint32_t window_length, LayerVisitor& visitor,
                                     LayerCompute* compute, JobContext& context) {
  using Clock = std::chrono::steady_clock;
  const auto vocabulary = static_cast<uint32_t>(std::max<uint64_t>(model.summary.vocab_size, 1));
  const std::vector<std::vector<uint32_t>> windows = AnyWindows(window_length, vocabulary);
  const auto seconds_of = [&](LayerVisitor& one) -> absl::StatusOr<double> {
    ASSIGN_OR_RETURN(
        const auto walk,
        LayerWalk::Start(
            model.config, model.hf_config, source, windows,
            {.spill_folder = std::filesystem::temp_directory_path(), .compute = compute}, context));
    const Clock::time_point start = Clock::now();
    RETURN_IF_ERROR(walk->RunLayer(0, source, one));
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  StatisticsAlone statistics(visitor);
  ASSIGN_OR_RETURN(const double walking, seconds_of(statistics));
  ASSIGN_OR_RETURN(const double all, seconds_of(visitor));
  const auto tokens = static_cast<double>(windows.size() * window_length);
  return LayerCost{.fixed_seconds = std::max(all - walking, 0.0),
                   .seconds_per_token = walking / tokens};
}

absl::StatusOr<WalkForecast> ForecastWalk(const CalibratedModel& model, const TensorSource& source,
                                          const CalibrationRequest& calibration,
                                          LayerVisitor& visitor, std::string_view device,
                                          StatisticsKind most, ThreadPool& threads) {
  NoProgress progress;
  JobContext context{{}, progress, threads};
  ASSIGN_OR_RETURN(WalkDevice walk_device, WalkDevice::Choose(device, progress));
  RETURN_IF_ERROR(walk_device.Open(model.config, calibration.sequence_length, most, progress));
  ASSIGN_OR_RETURN(const LayerCost cost, ProbeLayer(model, source, calibration.sequence_length,
                                                    visitor, walk_device.compute(), context));
  return WalkForecast{
      .seconds = cost.Seconds(model.config.geometry.layers,
                              uint64_t{calibration.samples} * calibration.sequence_length),
      .device_memory_bytes = walk_device.memory_bytes()};
}

}  // namespace quantized
