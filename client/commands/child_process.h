// Runs a short program and takes what it prints.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quantized {

struct ChildOutput {
  std::string out;
  std::string err;
  int exit_code = 0;  // meaningful when signal == 0
  int signal = 0;     // that killed it, 0 for none
};

// Runs the program `arguments[0]` (a path) with `input` as its stdin and waits for its end. A child
// that prints more than `max_bytes` to either stream is killed. Errors: kInternal when it cannot be
// started or prints too much.
absl::StatusOr<ChildOutput> RunChild(std::vector<std::string> arguments, size_t max_bytes,
                                     std::string_view input = "");

}  // namespace quantized
