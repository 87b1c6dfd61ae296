#include "client/commands/ask_worker.h"

#include "client/commands/ask_program.h"
#include "core/base/status_macros.h"

namespace quantized {

absl::StatusOr<std::string> AskWorker(const CommandContext& context, std::string_view what,
                                      std::vector<std::string> words, std::string_view input) {
  ASSIGN_OR_RETURN(ChildOutput child, AskProgram(context, "quantize-worker", what, std::move(words),
                                                 {.input = input}));
  return std::move(child.out);
}

}  // namespace quantized
