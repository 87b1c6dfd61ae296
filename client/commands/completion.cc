#include "client/commands/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "client/commands/command_table.h"
#include "client/commands/formats.h"

namespace quantized {
namespace {

// What the words before the cursor have settled.
struct Position {
  std::string name;                    // of a group or a command: "jobs", "jobs list"
  const Command* command = nullptr;    // null: its words are not complete
  std::vector<std::string> arguments;  // that the command has already
  const OptionRow* option = nullptr;   // whose value comes next
  bool no_more_options = false;        // after "--"
};

template <typename Visit>
void ForEachOption(const Command* command, const Visit& visit) {
  if (command != nullptr) {
    for (const OptionRow& row : command->options) visit(row);
  }
  for (const OptionRow& row : GlobalOptions()) visit(row);
}

// The option that `word` names and that takes a value; null for all else.
const OptionRow* OptionWithValue(const Command* command, std::string_view word) {
  const OptionRow* found = nullptr;
  ForEachOption(command, [&](const OptionRow& row) {
    const bool is_short = row.short_name != 0 && word == std::string({'-', row.short_name});
    if (row.kind != ValueKind::kFlag && (row.name == word || is_short)) found = &row;
  });
  return found;
}

void Step(Position& position, const std::string& word) {
  if (position.option != nullptr) {
    position.option = nullptr;
  } else if (word.starts_with('-') && !position.no_more_options) {
    position.no_more_options = word == "--";
    position.option = OptionWithValue(position.command, word);
  } else if (position.command != nullptr) {
    position.arguments.push_back(word);
  } else {
    position.name += position.name.empty() ? word : " " + word;
    position.command = FindCommand(position.name);
  }
}

class Lines {
 public:
  // Only words that begin with `typed` are taken.
  explicit Lines(std::string_view typed) : typed_(typed) {}

  void Add(std::string_view word, std::string_view help) {
    if (word.starts_with(typed_)) text_ += fmt::format("{}\t{}\n", word, help);
  }

  void AddFiles() { text_ = ":files\n"; }
  void AddDirectories() { text_ = ":directories\n"; }

  // What was typed.
  std::string_view typed() const { return typed_; }

  std::string Take() { return std::move(text_); }

 private:
  std::string_view typed_;
  std::string text_;
};

// The format that the command line has named already; empty where it has not.
std::string_view FormatOf(const Position& position) {
  const auto& rows = position.command->arguments;
  for (size_t i = 0; i < std::min(rows.size(), position.arguments.size()); ++i) {
    if (rows[i].name == kFormatArgument) return position.arguments[i];
  }
  return "";
}

// The values of an option or argument, each behind `before`, which was typed.
void AddValues(const Position& position, ValueKind kind, std::span<const std::string_view> choices,
               std::string_view before, const LevelsOf& levels_of, Lines& lines) {
  if (kind == ValueKind::kPath) lines.AddFiles();
  if (kind == ValueKind::kDirectory) lines.AddDirectories();
  for (const std::string_view choice : choices) lines.Add(fmt::format("{}{}", before, choice), "");
  if (kind != ValueKind::kLevels) return;
  const std::string_view typed = lines.typed().substr(before.size());
  const std::string_view settled = typed.substr(0, typed.rfind(',') + 1);
  for (const std::string& level : levels_of(FormatOf(position))) {
    lines.Add(fmt::format("{}{}{}", before, settled, level), "");
  }
}

void AddOptions(const Position& position, const LevelsOf& levels_of, Lines& lines) {
  const std::string_view typed = lines.typed();
  const size_t equals = typed.find('=');
  if (equals == std::string_view::npos) {
    ForEachOption(position.command, [&](const OptionRow& row) { lines.Add(row.name, row.help); });
  } else if (const auto* row = OptionWithValue(position.command, typed.substr(0, equals))) {
    AddValues(position, row->kind, row->choices, typed.substr(0, equals + 1), levels_of, lines);
  }
}

void AddCommands(const std::string& group, Lines& lines) {
  const std::vector<std::string> words = group.empty() ? FirstWords() : SecondWords(group);
  for (const std::string& word : words) {
    const Command* command = FindCommand(group.empty() ? word : group + " " + word);
    lines.Add(word, command != nullptr ? command->summary : "");
  }
}

}  // namespace

std::string CompletionLines(std::span<const std::string> words, const LevelsOf& levels_of) {
  const std::string typed = words.empty() ? "" : words.back();
  Position position;
  if (!words.empty()) {
    for (const std::string& word : words.first(words.size() - 1)) Step(position, word);
  }
  Lines lines(typed);
  if (position.option != nullptr) {
    AddValues(position, position.option->kind, position.option->choices, "", levels_of, lines);
  } else if (typed.starts_with('-') && !position.no_more_options) {
    AddOptions(position, levels_of, lines);
  } else if (position.command == nullptr) {
    AddCommands(position.name, lines);
  } else if (position.arguments.size() < position.command->arguments.size()) {
    const ArgumentRow& row = position.command->arguments[position.arguments.size()];
    AddValues(position, row.kind, row.choices, "", levels_of, lines);
  }
  return lines.Take();
}

}  // namespace quantized
