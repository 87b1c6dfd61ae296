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
#include "core/quantize/selection_options.h"
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
  std::string name;      // in the output: another one where layers before it are pruned
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
  uint32_t layers_left = 0;  // after pruning; 0 where nothing was to be pruned
};

// The layer in the name of a tensor ("blk.12.attn_q.weight"), -1 where it has none.
int64_t LayerOf(std::string_view tensor_name);

// Whether the reference quantizer would refuse to make this tensor without importance weights.
bool NeedsImportance(const Recipe& recipe, std::string_view tensor_name, kernels::TypeId type);

// Types and order at `recipe`'s level. Errors: kValidationFailed where metadata that the rules need
// (architecture, number of layers, of heads) is missing or of the wrong type; kInvalidArgument
// where a tensor that is quantized already would have to be encoded again and options do not allow
// it, where a row fits neither the type that it should have nor a replacement, or where an option
// names what is not there.
absl::StatusOr<TypeSelection> SelectTypes(const Recipe& recipe, const gguf::Metadata& metadata,
                                          std::span<const TensorShape> tensors,
                                          const SelectionOptions& options = {});

// The metadata of the output: as the reference quantizer writes it (docs/formats/gguf.md, "Metadata
// of a quantized file"). `overrides` are those of --override-kv, in their order; `added` follows
// them.
gguf::Metadata QuantizedMetadata(const gguf::Metadata& source, const Recipe& recipe,
                                 std::span<const TensorShape> tensors,
                                 std::span<const gguf::Metadata::Entry> overrides,
                                 std::span<const gguf::Metadata::Entry> added,
                                 uint32_t layers_left);

}  // namespace quantized
