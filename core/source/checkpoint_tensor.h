// A tensor of a checkpoint as a conversion reads it: one of a file as it lies there, or the weight
// of a packed linear, which lies in several. Thread-safe as far as what it reads from is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/source/hf_weights.h"
#include "core/tensor/dtype.h"
#include "kernels/types/quant_type.h"

namespace quantized {

struct CheckpointTensor {
  std::string name;                            // "model.layers.0.mlp.up_proj.weight"
  std::vector<uint64_t> shape;                 // outermost dimension first
  std::string file;                            // where it lies, for messages
  DType dtype = DType::kF32;                   // of what `read` gives…
  std::optional<kernels::TypeId> blocks = {};  // …or, where it is set, rows of these blocks
  // Fills `out` with bytes from `first_byte` on; of a packed linear both lie between rows. Errors:
  // kIo; kValidationFailed where a file has shrunk or what is packed is damaged.
  std::function<absl::Status(uint64_t first_byte, std::span<std::byte> out)> read;

  std::string Origin() const;  // "model.safetensors: model.norm.weight"
};

// `tensor` as it lies in its file, which must outlive the result.
CheckpointTensor PlainTensor(const HfWeights::Tensor& tensor);
// All of them, in their order.
std::vector<CheckpointTensor> PlainTensors(const HfWeights& weights);

}  // namespace quantized
