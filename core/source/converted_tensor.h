// One tensor of a conversion: where its values come from, what is done to them, and the type in
// which they are offered. Values are computed when rows are read, a bounded piece at a time.
// Arithmetic as in the reference converter (docs/design/hf-to-gguf.md, "Values"): an F16 checkpoint
// tensor is F16 until it is written, any other is widened to float before a transform.
// Thread-safe: any thread may call const methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/arch/architecture.h"
#include "core/source/checkpoint_tensor.h"
#include "kernels/types/quant_type.h"

namespace quantized {

// What is read of a tensor: `rows` rows of `cols` values each. A vector counts as rows of one
// value, so that a bias is permuted as the weight's rows are.
struct ConvertedTensor {
  // One, or matrices of rows / sources.size() rows each that come to stand one below another; none
  // for a generated tensor.
  std::vector<CheckpointTensor> sources;
  std::vector<float> generated;  // its values
  uint64_t rows = 0, cols = 0;
  // F32, F16 or BF16; the sources' blocks where they come as such.
  kernels::TypeId type = kernels::TypeId::kF32;
  Transform transform = Transform::kNone;
  uint64_t heads = 0;  // for the interleaving transforms, of one source; rows / heads is even

  // Fills `out` with `count` rows from `first` on: count * cols values of `type`. Errors: those of
  // CheckpointTensor::read.
  absl::Status Read(uint64_t first, uint64_t count, std::span<std::byte> out) const;
};

}  // namespace quantized
