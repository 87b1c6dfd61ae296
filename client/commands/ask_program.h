// Asks one of our other programs a question that needs no daemon.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/commands/child_process.h"
#include "client/commands/command.h"

namespace quantized {

// What `PROGRAM WORDS…` printed. `what` names the question in messages: "the inspection of the
// model". Errors: the program's own; kWorkerCrashed when it was killed; kInternal when it cannot be
// started.
absl::StatusOr<ChildOutput> AskProgram(const CommandContext& context, std::string_view program,
                                       std::string_view what, std::vector<std::string> words,
                                       const ChildOptions& options);

}  // namespace quantized
