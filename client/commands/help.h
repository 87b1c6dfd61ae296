// --help and docs/cli.md, from the command table, in the contract's layout.
#pragma once

#include <string>
#include <string_view>

#include "client/commands/command.h"

namespace quantized {

// Of the program (`group` empty, `command` null), of a group such as "jobs", or of a command.
std::string HelpText(const Command* command, std::string_view group);

// What is said of an option: its help, then its default, variable and more in brackets.
std::string HelpOfOption(const OptionRow& row);

// How a program that was interrupted ends.
extern const std::string_view kSignalHelp;

// The reference of all commands, in Markdown.
std::string CliReference();

}  // namespace quantized
