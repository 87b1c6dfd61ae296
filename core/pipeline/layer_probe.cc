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
constexpr size_t kFewAreOneOf = 4;  // of the windows

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

// Tokens that differ; which ones they are costs nothing. Two windows at least.
std::vector<std::vector<uint32_t>> AnyWindows(uint32_t length, uint32_t vocabulary) {
  std::vector<std::vector<uint32_t>> windows(std::max(kProbeTokens / length, 2u));
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
  const auto seconds_of = [&](LayerVisitor& one, size_t count) -> absl::StatusOr<double> {
    ASSIGN_OR_RETURN(
        const auto walk,
        LayerWalk::Start(
            model.config, model.hf_config, source, std::span(windows).first(count),
            {.spill_folder = std::filesystem::temp_directory_path(), .compute = compute}, context));
    const Clock::time_point start = Clock::now();
    RETURN_IF_ERROR(walk->RunLayer(0, source, one));
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  StatisticsAlone statistics(visitor);
  const size_t some = std::max<size_t>(windows.size() / kFewAreOneOf, 1);
  // The first run pays for cold caches, and counts for nothing.
  RETURN_IF_ERROR(seconds_of(statistics, some).status());
  ASSIGN_OR_RETURN(const double few, seconds_of(statistics, some));
  ASSIGN_OR_RETURN(const double many, seconds_of(statistics, windows.size()));
  ASSIGN_OR_RETURN(const double all, seconds_of(visitor, windows.size()));
  const auto tokens_of = [&](size_t count) { return static_cast<double>(count * window_length); };
  // What grows with the tokens; reading and widening weights do not. On a busy machine the larger
  // run may be no longer than the smaller one.
  const double more = many - few;
  const double per_token =
      more > 0 ? more / tokens_of(windows.size() - some) : many / tokens_of(windows.size());
  return LayerCost{.fixed_seconds = std::max(all - per_token * tokens_of(windows.size()), 0.0),
                   .seconds_per_token = per_token};
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
