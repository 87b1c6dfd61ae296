#include "client/commands/ask_fetcher.h"

#include "client/commands/ask_program.h"
#include "client/render/fetcher_answer.h"
#include "core/base/status_macros.h"

namespace quantized {

absl::StatusOr<std::string> AskFetcher(CommandContext& context, std::string_view what,
                                       std::vector<std::string> words) {
  ASSIGN_OR_RETURN(ChildOutput child, AskProgram(context, "quantize-fetch", what, std::move(words),
                                                 {.sees_secrets = true}));
  for (const std::string& message : FetcherMessages(child.err)) {
    context.output.Note(Verbosity::kNormal, message);
  }
  return std::move(child.out);
}

}  // namespace quantized
