// The halves of a layer on a CUDA device (layer_compute.h), in f32 without TF32. Bounded, not
// exact: results differ from the processor's by rounding (docs/design/forward-kernels.md), and are
// the same from run to run on one device, for any number of threads.
//
// A slot has a stream of its own, so that copying and computing of several pieces overlap. All
// memory is taken when it is opened; activations between halves stay with the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/forward/forward_config.h"
#include "core/forward/input_statistics.h"
#include "core/forward/layer_compute.h"
#include "kernels/forward_cuda/forward_cuda.h"

namespace quantized {

struct CudaCompute {
  std::unique_ptr<LayerCompute> layers;
  std::string device;         // "cuda:0 NVIDIA H100 80GB HBM3"
  uint64_t memory_bytes = 0;  // of the device, but for what driver and cuBLAS keep
};

// For windows of at most `window_length` tokens and statistics no larger than `most`. `config` must
// outlive the result. Errors: kOutOfMemory, naming what is needed and free; kInternal.
absl::StatusOr<CudaCompute> OpenCudaCompute(const kernels::ForwardCudaModule& module, int device,
                                            const ForwardConfig& config, size_t window_length,
                                            StatisticsKind most);

}  // namespace quantized
