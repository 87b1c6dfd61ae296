// Runs a short program and takes what it prints.
#pragma once

#include <cstddef>
#include <functional>
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

struct ChildOptions {
  // A child that prints more to either stream is killed.
  size_t max_bytes = size_t{16} << 20;
  std::string_view input = "";  // its stdin
  // Whether its environment has the variables whose names speak of secrets (WithoutSecrets).
  bool sees_secrets = false;
  // Gets each whole line of its stderr as it comes, without the newline.
  std::function<void(std::string_view)> on_err_line;
};

// Runs the program `arguments[0]` (a path) and waits for its end. Errors: kInternal when it cannot
// be started or prints too much. A signal that ends this program ends the child first; where it is
// held by the caller, too (held_signals.h), what the child printed comes back.
absl::StatusOr<ChildOutput> RunChild(std::vector<std::string> arguments,
                                     const ChildOptions& options = {});

}  // namespace quantized
