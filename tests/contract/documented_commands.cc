#include "tests/contract/documented_commands.h"

#include <regex>
#include <sstream>
#include <string_view>

namespace quantized::testing {
namespace {

constexpr std::string_view kFence = "```";
constexpr std::string_view kPrompt = "$ ";
constexpr std::string_view kProgram = "llm-quantize ";

}  // namespace

std::vector<DocumentedCommand> DocumentedCommands(const std::string& markdown) {
  static const std::regex kInText("`(llm-quantize [-a-z ]+)`");
  std::vector<DocumentedCommand> commands;
  std::string block;  // the language of the block that we are in; empty: text
  std::istringstream lines(markdown);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.starts_with(kFence)) {
      const std::string language = line.substr(kFence.size());
      block = !block.empty() ? "" : language.empty() ? "text" : language;
    } else if (block.empty()) {
      for (std::sregex_iterator it(line.begin(), line.end(), kInText), end; it != end; ++it) {
        commands.push_back({.line = number, .command = (*it)[1]});
      }
    } else if (block == "console" && line.starts_with(kPrompt)) {
      commands.push_back({.line = number, .command = line.substr(kPrompt.size())});
    } else if (block == "console" && !commands.empty()) {
      commands.back().output.push_back(line);
    } else if (block == "sh" && line.starts_with(kProgram)) {
      commands.push_back({.line = number, .command = line});
    }
  }
  return commands;
}

std::vector<std::string> LabelsOf(const std::vector<std::string>& output) {
  static const std::regex kLabel("^([^:]+:)( .*)?$");
  std::vector<std::string> labels;
  std::smatch match;
  for (const std::string& line : output) {
    if (std::regex_match(line, match, kLabel)) labels.push_back(match[1]);
  }
  return labels;
}

}  // namespace quantized::testing
