// A command line, read by the rows of the command table.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/commands/command.h"
#include "core/base/environment.h"

namespace quantized {

struct CommandLine {
  const Command* command = nullptr;  // null: only with --help or --version
  std::string group;                 // "jobs" for `jobs --help`
  Values values;                     // of the global options and of the command's rows
};

// Every error is kInvalidArgument and says what to do. With --help or --version nothing else need
// be right. `arguments` are without the program's name.
absl::StatusOr<CommandLine> ParseCommandLine(std::span<const std::string> arguments,
                                             const Environment& environment);

// Whether the command line asks for JSON, also when it cannot be parsed: usage errors have the
// format that the user asked for.
bool AsksForJson(std::span<const std::string> arguments);

}  // namespace quantized
