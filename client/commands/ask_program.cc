#include "client/commands/ask_program.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/render/error_object.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

// A program that failed: in its own words where it left an object, else by its exit code.
absl::Status FailureOf(const ChildOutput& child, std::string_view what) {
  if (child.signal != 0) {
    return MakeError(Error::kWorkerCrashed,
                     fmt::format("{} was killed by signal {}", what, child.signal));
  }
  RETURN_IF_ERROR(ErrorInObject(child.out));
  const auto rows = AllErrors();
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const ErrorRow& one) {
    return one.exit_code == child.exit_code;
  });
  std::string message = child.err.substr(0, child.err.find('\n'));
  if (message.empty()) {
    message = fmt::format("{} ended with exit code {}", what, child.exit_code);
  }
  return MakeError(row == rows.end() ? Error::kInternal : row->error, message);
}

}  // namespace

absl::StatusOr<ChildOutput> AskProgram(const CommandContext& context, std::string_view program,
                                       std::string_view what, std::vector<std::string> words,
                                       const ChildOptions& options) {
  words.insert(words.begin(), context.program_dir / program);
  ASSIGN_OR_RETURN(ChildOutput child, RunChild(std::move(words), options));
  if (child.signal != 0 || child.exit_code != 0) return FailureOf(child, what);
  return child;
}

}  // namespace quantized
