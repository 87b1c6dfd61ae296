#include "client/commands/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "client/commands/command_table.h"
#include "core/base/error.h"

namespace quantized {
namespace {

// The left and right column of one line.
using Line = std::pair<std::string, std::string>;

std::string Columns(const std::vector<Line>& lines) {
  size_t width = 0;
  for (const Line& line : lines) width = std::max(width, line.first.size());
  std::string text;
  for (const Line& line : lines) {
    text += fmt::format("  {:<{}}  {}\n", line.first, width, line.second);
  }
  return text;
}

Line LineOf(const OptionRow& row) {
  std::string left;
  if (row.short_name != 0) left += fmt::format("-{}, ", row.short_name);
  left += row.name;
  if (!row.value_name.empty()) left += fmt::format(" {}", row.value_name);
  return {left, HelpOfOption(row)};
}

std::vector<Line> LinesOf(std::span<const OptionRow> rows) {
  std::vector<Line> lines;
  for (const OptionRow& row : rows) lines.push_back(LineOf(row));
  return lines;
}

std::string UsageOf(const Command& command) {
  std::string usage = fmt::format("llm-quantize {} [OPTIONS]", command.name);
  for (const ArgumentRow& argument : command.arguments) {
    usage +=
        argument.required ? fmt::format(" {}", argument.name) : fmt::format(" [{}]", argument.name);
  }
  return usage;
}

std::string HelpOfCommand(const Command& command) {
  std::string text = fmt::format("Usage: {}\n\n{}\n", UsageOf(command), command.summary);
  if (!command.arguments.empty()) {
    std::vector<Line> lines;
    for (const ArgumentRow& row : command.arguments) lines.emplace_back(row.name, row.help);
    text += "\nArguments:\n" + Columns(lines);
  }
  std::vector<Line> lines = LinesOf(command.options);
  lines.push_back(LineOf(GlobalOptions().back()));  // --help
  text += "\nOptions:\n" + Columns(lines);
  if (!command.notes.empty()) text += fmt::format("\n{}", command.notes);
  text += "\nThe options of 'llm-quantize --help' are valid here too.\n";
  return text;
}

std::string HelpOfGroup(std::string_view group) {
  std::vector<Line> lines;
  for (const Command* command : AllCommands()) {
    const bool belongs = group.empty() || command->name.starts_with(std::string(group) + " ");
    if (belongs) lines.emplace_back(command->name, command->summary);
  }
  std::string text = group.empty()
                         ? std::string("Usage: llm-quantize [OPTIONS] COMMAND [ARGS]\n")
                         : fmt::format("Usage: llm-quantize {} [OPTIONS] COMMAND [ARGS]\n", group);
  text += "\nOptions:\n" + Columns(LinesOf(GlobalOptions()));
  text += "\nCommands:\n" + Columns(lines);
  return text;
}

}  // namespace

std::string HelpText(const Command* command, std::string_view group) {
  return command != nullptr ? HelpOfCommand(*command) : HelpOfGroup(group);
}

std::string HelpOfOption(const OptionRow& row) {
  std::string help(row.help);
  // The help of a choice lists its values and marks the default itself.
  if (!row.default_value.empty() && row.kind != ValueKind::kChoice) {
    help += fmt::format(" [default: {}]", row.default_value);
  }
  if (!row.env.empty()) help += fmt::format(" [env: {}]", row.env);
  if (row.required) help += " [required]";
  if (row.repeatable) help += " [repeatable]";
  return help;
}

const std::string_view kSignalHelp =
    "Where Ctrl-C ended a job the program dies by SIGINT, which shells report as 130. SIGTERM and "
    "SIGHUP end the program only; the job goes on.\n";

std::string CliReference() {
  std::string text =
      "# Command line reference\n\n"
      "Made from the command table (`client/commands/command_table.cc`); a test compares them.\n\n";
  text += fmt::format("```\n{}```\n", HelpOfGroup(""));
  for (const Command* command : AllCommands()) {
    text += fmt::format("\n## {}\n\n```\n{}```\n", command->name, HelpOfCommand(*command));
  }
  text += "\n## Exit codes\n\n| code | `error_type` |\n|---|---|\n| 0 | success |\n";
  for (const ErrorRow& row : AllErrors()) {
    text += fmt::format("| {} | {} |\n", row.exit_code, row.error_type);
  }
  text += fmt::format("\n{}", kSignalHelp);
  return text;
}

}  // namespace quantized
