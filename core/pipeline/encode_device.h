// Where a job encodes: on the processor, or on a CUDA device with an encoder for each thread, so
// that reading, copying, encoding and writing of several slices overlap. The bytes are the same
// (docs/design/exactness.md). How devices are found and what may be missing: docs/design/cuda.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/pipeline/device_choice.h"
#include "core/pipeline/plan.h"
#include "kernels/cuda/cuda_module.h"
#include "kernels/types/quant_type.h"

namespace quantized {

class EncodeDevice {
 public:
  // The processor.
  EncodeDevice() = default;

  // As ChooseDevice.
  static absl::StatusOr<EncodeDevice> Choose(std::string_view wanted, ProgressSink& progress);

  // Makes it ready for the plans of all passes and this number of threads, or leaves it closed
  // where none of them has anything for it. Errors: kOutOfMemory, naming what is needed and free,
  // kInternal; where nobody asked for a device, the processor takes over instead.
  absl::Status Open(std::span<const QuantizePlan* const> plans, size_t threads,
                    ProgressSink& progress);
  void Close();

  // "cpu", or "cuda:0 NVIDIA H100 80GB HBM3".
  std::string name() const { return chosen_ ? chosen_->name : "cpu"; }
  // What all encoders together take of the device's memory; stays after Close.
  uint64_t memory_bytes() const { return memory_bytes_; }

  // Whether tensors are encoded on the device when it is open; not those that keep their type.
  bool Encodes(const OutputTensor& tensor) const;
  bool EncodesAnyOf(const QuantizePlan& plan) const;

  // ---- Of the open device, from thread `thread` (from 0 on) of those that it was opened for.

  // Takes a slice's values (F32, F16 or BF16), which the next calls of Encode are about.
  absl::Status Load(size_t thread, std::span<const std::byte> source, kernels::TypeId source_type);
  absl::Status Encode(size_t thread, const kernels::CudaEncodeArguments& arguments);

 private:
  absl::Status OpenEncoders(const kernels::CudaSessionSizes& sizes, size_t threads);

  std::optional<ChosenDevice<kernels::CudaModule>> chosen_;  // none: the processor
  uint64_t memory_bytes_ = 0;
  std::vector<std::unique_ptr<kernels::CudaEncoder>> encoders_;  // of each thread
};

// Types whose values a device takes as they are; others are decoded to F32 first.
bool IsDeviceSource(kernels::TypeId type);

}  // namespace quantized
