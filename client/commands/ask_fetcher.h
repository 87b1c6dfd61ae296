// Asks quantize-fetch, the one program that talks to the Hugging Face Hub. It alone sees the user's
// token.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/commands/command.h"

namespace quantized {

// The object that `quantize-fetch WORDS…` prints. What it has to say meanwhile is shown as notes.
// `what` and errors: AskProgram.
absl::StatusOr<std::string> AskFetcher(CommandContext& context, std::string_view what,
                                       std::vector<std::string> words);

}  // namespace quantized
