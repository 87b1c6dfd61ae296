// All commands, and the options that every command takes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/commands/command.h"

namespace quantized {

std::span<const Command* const> AllCommands();  // in the order of the help

// "jobs list"; null where there is none.
const Command* FindCommand(std::string_view name);
// What commands begin with, each once: "quantize", "jobs".
std::vector<std::string> FirstWords();
// What follows "jobs": "list", "show", …; nothing after what is no group.
std::vector<std::string> SecondWords(std::string_view group);

// Valid before and after the command.
std::span<const OptionRow> GlobalOptions();

// Environment variables that stand for no option; those that do are in the option's row.
std::span<const VariableRow> Variables();

}  // namespace quantized
