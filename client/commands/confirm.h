// A question to the person at the terminal.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

// Asks on /dev/tty, whatever stdin and stdout are, and reads one line from it: whether that is "y"
// or "yes". Errors: kCancelled where the process has no terminal.
absl::StatusOr<bool> Confirm(std::string_view question);

}  // namespace quantized
