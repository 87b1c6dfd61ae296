// Where a forward pass gets its weights: the tensors of a model by their names in a Hugging Face
// checkpoint, as floats, whatever they are stored as. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace quantized {

class TensorSource {
 public:
  virtual ~TensorSource() = default;

  struct Tensor {
    virtual ~Tensor() = default;
    std::string name;             // as the checkpoint spells it, wrapper names and all
    std::vector<uint64_t> shape;  // of the values that ReadRows gives, outermost first
    std::string type;             // as stored, for people: "BF16", "Q4_K", "4-bit"
  };

  // `name` is the plain one (core/arch/tensor_names.h): "layers.0.mlp.up_proj.weight". Null where
  // there is no such tensor; points into *this.
  virtual const Tensor* Find(std::string_view name) const = 0;

  // Fills `out` with rows [first, first + count) of a tensor that Find gave: the values of a
  // vector are its one row. Errors: kIo; kValidationFailed where a file has shrunk.
  virtual absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                                float* out) const = 0;
};

}  // namespace quantized
