// --help and docs/cli.md, from the command table, in the contract's layout.
#pragma once

#include <string>
#include <string_view>

#include "client/commands/command.h"

namespace quantized {

// Of the program (`group` empty, `command` null), of a group such as "jobs", or of a command.
std::string HelpText(const Command* command, std::string_view group);

// The reference of all commands, in Markdown.
std::string CliReference();

}  // namespace quantized
