// The type of each tensor of the output, and the tensors' order in it: equal to the reference
// quantizer's choice. Rules: docs/design/recipes.md; their data: core/quantize/selection_rules.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/gguf/metadata.h"
#include "core/quantize/levels.h"
#include "kernels/types/quant_type.h"

namespace quantized {

// A tensor of the source. Views must outlive the call only.
struct TensorShape {
  std::string_view name;           // as in GGUF
  kernels::TypeId type;            // that it has now
  std::span<const uint64_t> dims;  // dims[0] is the row length; at least one
};

struct TensorChoice {
  size_t tensor;         // index among the tensors given
  kernels::TypeId type;  // the tensor's own type: its bytes are copied
};

// A tensor that could not have the type that the recipe has for it.
struct Substitution {
  size_t tensor;
  kernels::TypeId wanted, used;
  std::string why;
};

struct TypeSelection {
  std::vector<TensorChoice> tensors;  // in the order of the output file
  std::vector<Substitution> substitutions;
};

// The layer in the name of a tensor ("blk.12.attn_q.weight"), -1 where it has none.
int64_t LayerOf(std::string_view tensor_name);

// Types and order at `recipe`'s level. Errors: kValidationFailed where metadata that the rules need
// (architecture, number of layers, of heads) is missing or of the wrong type; kInvalidArgument
// where a tensor that is quantized already would have to be encoded again.
absl::StatusOr<TypeSelection> SelectTypes(const Recipe& recipe, const gguf::Metadata& metadata,
                                          std::span<const TensorShape> tensors);

}  // namespace quantized
