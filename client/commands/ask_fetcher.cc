#include "client/commands/ask_fetcher.h"

#include "client/commands/ask_program.h"
#include "client/render/fetcher_answer.h"
#include "core/base/status_macros.h"

namespace quantized {

absl::StatusOr<std::string> AskFetcher(CommandContext& context, std::string_view what,
                                       std::vector<std::string> words) {
  const auto on_line = [&context](std::string_view line) {
    if (const std::string message = FetcherMessage(line); !message.empty()) {
      context.output.Note(Verbosity::kNormal, message);
    }
  };
  ASSIGN_OR_RETURN(ChildOutput child,
                   AskProgram(context, "quantize-fetch", what, std::move(words),
                              {.sees_secrets = true, .on_err_line = on_line}));
  return std::move(child.out);
}

}  // namespace quantized
