// What `quantize-worker inspect` tells of a model, in the contract's two forms.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

struct ModelInfoText {
  std::string human;
  std::string json;
};

// `inspection` is the object that the worker printed; `name`, unless empty, is shown instead of the
// model's name in it. The human form leaves out what the model does not tell. kInternal when it is
// no object, lacks a key of the contract or has one of another type.
absl::StatusOr<ModelInfoText> FormatModelInfo(std::string_view inspection,
                                              std::string_view name = "");

}  // namespace quantized
