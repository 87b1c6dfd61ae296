// The contract's error object, read back from what a worker printed.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace quantized {

// The error that `text` tells of; OK when it is no error object.
absl::Status ErrorInObject(std::string_view text);

}  // namespace quantized
