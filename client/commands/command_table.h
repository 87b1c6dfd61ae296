// All commands, and the options that every command takes.
#pragma once

#include <span>

#include "client/commands/command.h"

namespace quantized {

std::span<const Command* const> AllCommands();  // in the order of the help

// Valid before and after the command.
std::span<const OptionRow> GlobalOptions();

}  // namespace quantized
