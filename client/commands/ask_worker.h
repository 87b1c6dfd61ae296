// Asks quantize-worker a question that needs no daemon.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/commands/command.h"

namespace quantized {

// The object that `quantize-worker WORDS…` prints, given `input` on stdin. `what` names the
// question in messages: "the inspection of the model". Errors: the worker's own; kWorkerCrashed
// when it was killed; kInternal when it cannot be started.
absl::StatusOr<std::string> AskWorker(const CommandContext& context, std::string_view what,
                                      std::vector<std::string> words, std::string_view input = "");

}  // namespace quantized
