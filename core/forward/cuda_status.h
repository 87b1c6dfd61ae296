// What a CUDA device said, as our errors. `device`: its name for people, "cuda:0 NVIDIA H100".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "kernels/cuda/cuda_module.h"

namespace quantized {

// kInternal with the driver's text, or kOutOfMemory.
absl::Status StatusOfCuda(const kernels::CudaStatus& status, std::string_view device);

// kOutOfMemory: `what` needs so much of the device's memory, so much is free, or nobody knows how
// much. `remedy` is what the user may do beside ending other programs: "use fewer --threads".
absl::Status OutOfCudaMemory(std::string_view what, uint64_t needed_bytes,
                             std::optional<uint64_t> free_bytes, std::string_view device,
                             std::string_view remedy);

}  // namespace quantized
