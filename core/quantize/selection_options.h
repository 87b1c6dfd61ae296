// What a user may say about which tensor gets which type, beside the level: the options of the
// reference quantizer, by its names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/gguf/metadata.h"
#include "core/quantize/name_pattern.h"
#include "kernels/types/quant_type.h"

namespace quantized {

// --tensor-type REGEX=TYPE
struct TensorTypeOverride {
  NamePattern pattern;
  kernels::TypeId type;
};

struct SelectionOptions {
  std::optional<kernels::TypeId> output_type;     // --output-tensor-type
  std::optional<kernels::TypeId> embedding_type;  // --token-embedding-type
  std::vector<TensorTypeOverride> tensor_types;   // the first that matches counts
  bool leave_output = false;                      // --leave-output-tensor
  bool pure = false;                              // --pure: the default type everywhere
  bool allow_requantize = false;
  // --prune-layers, in any order: dropped; the layers behind them move up.
  std::vector<uint32_t> pruned_layers;
  // An importance matrix is given: some rules depend on it.
  bool has_importance = false;
  // Tensors stay in the order given (--keep-split); else they are sorted by layer and name.
  bool keep_order = false;
};

// A type that tensors can be encoded in, by its name in any case. Errors: kInvalidArgument naming
// the option `option`, what was found and what there is.
absl::StatusOr<kernels::TypeId> ParseTensorType(std::string_view option, std::string_view name);

// "REGEX=TYPE". Errors: kInvalidArgument.
absl::StatusOr<TensorTypeOverride> ParseTensorTypeOverride(std::string_view text);

// --override-kv "KEY=int|float|bool|str:VALUE" as the metadata entry that it becomes: an int is a
// uint32 of its magnitude, a float a float32, as the reference quantizer writes them. Keys have 1
// to 127 bytes, strings at most 127. Errors: kInvalidArgument.
absl::StatusOr<gguf::Metadata::Entry> ParseMetadataOverride(std::string_view text);

}  // namespace quantized
