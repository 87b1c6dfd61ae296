// The table of `convert --list`, in two forms.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

struct ConversionsText {
  std::string human;
  std::string json;
};

// `table` is what `quantize-worker conversions` printed: an object whose "conversions" is an array
// of objects with the texts from, to, default_level, exact and otherwise. kInternal when it is not.
absl::StatusOr<ConversionsText> FormatConversions(std::string_view table);

}  // namespace quantized
