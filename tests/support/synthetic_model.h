// Makes a GGUF model of any size, streamed: a Llama of random weights, the same for the same
// description.
#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/status.h"
#include "kernels/types/quant_type.h"

namespace quantized::testing {

struct SyntheticModel {
  uint32_t layers = 2;
  uint64_t hidden = 256;
  uint64_t feed_forward = 768;
  uint64_t vocabulary = 320;
  uint32_t heads = 8, kv_heads = 4;
  bool tied = false;                             // no output.weight
  kernels::TypeId type = kernels::TypeId::kF16;  // of the matrices: F32, F16 or BF16
  uint64_t seed = 1;
};

absl::Status WriteSyntheticModel(const std::filesystem::path& path, const SyntheticModel& model);

}  // namespace quantized::testing
