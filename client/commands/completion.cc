#include "client/commands/completion.h"

#include <fmt/format.h>

#include <vector>

#include "client/commands/command_table.h"

namespace quantized {
namespace {

// What the words before the cursor have settled.
struct Position {
  std::string name;                   // of a group or a command: "jobs", "jobs list"
  const Command* command = nullptr;   // null: its words are not complete
  size_t arguments = 0;               // that the command has already
  const OptionRow* option = nullptr;  // whose value comes next
  bool no_more_options = false;       // after "--"
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
    ++position.arguments;
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

  // The values of an option or argument, each behind `before`.
  void AddValues(ValueKind kind, std::span<const std::string_view> choices,
                 std::string_view before = "") {
    if (kind == ValueKind::kPath) text_ = ":files\n";
    if (kind == ValueKind::kDirectory) text_ = ":directories\n";
    for (const std::string_view choice : choices) Add(fmt::format("{}{}", before, choice), "");
  }

  std::string Take() { return std::move(text_); }

 private:
  std::string_view typed_;
  std::string text_;
};

void AddOptions(const Command* command, std::string_view typed, Lines& lines) {
  const size_t equals = typed.find('=');
  if (equals == std::string_view::npos) {
    ForEachOption(command, [&](const OptionRow& row) { lines.Add(row.name, row.help); });
  } else if (const OptionRow* row = OptionWithValue(command, typed.substr(0, equals))) {
    lines.AddValues(row->kind, row->choices, typed.substr(0, equals + 1));
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

std::string CompletionLines(std::span<const std::string> words) {
  const std::string typed = words.empty() ? "" : words.back();
  Position position;
  if (!words.empty()) {
    for (const std::string& word : words.first(words.size() - 1)) Step(position, word);
  }
  Lines lines(typed);
  if (position.option != nullptr) {
    lines.AddValues(position.option->kind, position.option->choices);
  } else if (typed.starts_with('-') && !position.no_more_options) {
    AddOptions(position.command, typed, lines);
  } else if (position.command == nullptr) {
    AddCommands(position.name, lines);
  } else if (position.arguments < position.command->arguments.size()) {
    const ArgumentRow& row = position.command->arguments[position.arguments];
    lines.AddValues(row.kind, row.choices);
  }
  return lines.Take();
}

}  // namespace quantized
