// Where a job runs the model on text: on the processor, or on a CUDA device. Unlike encoded bytes,
// what comes out differs between the two in its last bits, so checkpoints and caches whose content
// depends on a walk have its kind in their key (docs/design/cuda.md, "The walk").
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/forward/cuda_layer_compute.h"
#include "core/forward/forward_config.h"
#include "core/forward/input_statistics.h"
#include "core/forward/layer_compute.h"
#include "core/pipeline/device_choice.h"
#include "kernels/forward_cuda/forward_cuda.h"

namespace quantized {

class WalkDevice {
 public:
  // The processor.
  WalkDevice() = default;

  // As ChooseDevice.
  static absl::StatusOr<WalkDevice> Choose(std::string_view wanted, ProgressSink& progress);

  // Makes it ready for walks of `config`, which must outlive it, over windows of at most
  // `window_length` tokens with statistics no larger than `most`; one that is open and large enough
  // stays. Errors: kOutOfMemory, naming what is needed and free, kInternal; where nobody asked for
  // a device, the processor takes over instead, with a warning.
  absl::Status Open(const ForwardConfig& config, size_t window_length, StatisticsKind most,
                    ProgressSink& progress);
  void Close() { open_.reset(); }

  // For WalkOptions::compute.
  LayerCompute* compute() const { return open_ ? open_->layers.get() : nullptr; }

  // "cpu" or "cuda". Final once it was opened.
  std::string_view kind() const { return chosen_ ? "cuda" : "cpu"; }
  // "cpu", or "cuda:0 NVIDIA H100 80GB HBM3".
  std::string name() const { return chosen_ ? chosen_->name : "cpu"; }
  // What it takes of the device's memory; stays after Close.
  uint64_t memory_bytes() const { return memory_bytes_; }

 private:
  std::optional<ChosenDevice<kernels::ForwardCudaModule>> chosen_;  // none: the processor
  std::optional<CudaCompute> open_;
  size_t window_length_ = 0;
  StatisticsKind most_ = StatisticsKind::kNone;
  uint64_t memory_bytes_ = 0;
};

}  // namespace quantized
