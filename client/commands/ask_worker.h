// Asks quantize-worker a question that needs no daemon.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/commands/command.h"

namespace quantized {

// The object that `quantize-worker WORDS…` prints, given `input` on stdin. It parses files of
// strangers, so no secret is in its environment. `what` and errors: AskProgram.
absl::StatusOr<std::string> AskWorker(const CommandContext& context, std::string_view what,
                                      std::vector<std::string> words, std::string_view input = "");

}  // namespace quantized
