#include "core/pipeline/walk_device.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {

absl::StatusOr<WalkDevice> WalkDevice::Choose(std::string_view wanted, ProgressSink& progress) {
  WalkDevice device;
  ASSIGN_OR_RETURN(device.chosen_, ChooseDevice<kernels::ForwardCudaModule>(wanted, progress));
  return device;
}

absl::Status WalkDevice::Open(const ForwardConfig& config, size_t window_length,
                              StatisticsKind most, ProgressSink& progress) {
  if (!chosen_) return absl::OkStatus();
  if (open_ && window_length <= window_length_ && most <= most_) return absl::OkStatus();
  Close();
  window_length_ = std::max(window_length_, window_length);
  most_ = std::max(most_, most);
  absl::StatusOr<CudaCompute> opened =
      OpenCudaCompute(chosen_->module, chosen_->number, config, window_length_, most_);
  if (opened.ok()) {
    open_ = *std::move(opened);
    memory_bytes_ = open_->memory_bytes;
    return absl::OkStatus();
  }
  if (chosen_->is_demanded) return opened.status();
  progress.OnWarning(StrCat("running the model on the processor: ", opened.status().message()));
  *this = WalkDevice();
  return absl::OkStatus();
}

}  // namespace quantized
