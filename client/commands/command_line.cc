#include "client/commands/command_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <vector>

#include "client/commands/command_table.h"
#include "client/commands/suggest.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

std::string ProgramAnd(const CommandLine& line) {
  const std::string_view words = line.command != nullptr ? line.command->name : line.group;
  return words.empty() ? "llm-quantize" : fmt::format("llm-quantize {}", words);
}

absl::Status UsageError(const CommandLine& line, std::string_view message,
                        const std::optional<std::string>& meant = std::nullopt) {
  std::string suggestion = meant ? fmt::format("Did you mean '{}'? ", *meant) : "";
  suggestion += fmt::format("See '{} --help'", ProgramAnd(line));
  return MakeError(Error::kInvalidArgument, message, suggestion);
}

bool LooksLikeOption(std::string_view word) { return word.size() > 1 && word[0] == '-'; }

// The global option that `word` ("--format", "--format=json", "-h") is, or null.
const OptionRow* FindGlobal(std::string_view word) {
  const std::string_view name = word.substr(0, word.find('='));
  for (const OptionRow& row : GlobalOptions()) {
    const bool is_short = row.short_name != 0 && name.size() == 2 && name[1] == row.short_name;
    if (row.name == name || is_short) return &row;
  }
  return nullptr;
}

// Moves options from the front of `rest` to `options` until a word that is none.
void TakeLeadingOptions(std::span<const std::string>& rest, std::vector<std::string>& options) {
  while (!rest.empty() && LooksLikeOption(rest.front())) {
    const OptionRow* row = FindGlobal(rest.front());
    const bool takes_next = row != nullptr && row->kind != ValueKind::kFlag &&
                            rest.front().find('=') == std::string::npos;
    const size_t count = std::min<size_t>(takes_next ? 2 : 1, rest.size());
    options.insert(options.end(), rest.begin(), rest.begin() + count);
    rest = rest.subspan(count);
  }
}

// Finds the command's words among leading options; what is left is the command's own.
absl::Status SplitCommand(std::span<const std::string>& rest, std::vector<std::string>& options,
                          CommandLine& line) {
  TakeLeadingOptions(rest, options);
  if (rest.empty()) return absl::OkStatus();
  const std::string first = rest.front();
  line.command = FindCommand(first);
  if (line.command == nullptr && SecondWords(first).empty()) {
    return UsageError(line, fmt::format("unknown command '{}'", first),
                      Nearest(first, FirstWords()));
  }
  rest = rest.subspan(1);
  if (line.command != nullptr) return absl::OkStatus();

  line.group = first;
  TakeLeadingOptions(rest, options);
  if (rest.empty()) return absl::OkStatus();
  line.command = FindCommand(first + " " + rest.front());
  if (line.command == nullptr) {
    return UsageError(line, fmt::format("unknown command '{} {}'", first, rest.front()),
                      Nearest(rest.front(), SecondWords(first)));
  }
  rest = rest.subspan(1);
  return absl::OkStatus();
}

std::string NamesOf(const OptionRow& row) {
  return row.short_name == 0 ? std::string(row.name)
                             : fmt::format("-{},{}", row.short_name, row.name);
}

absl::Status CheckValue(const CommandLine& line, const std::string& what, ValueKind kind,
                        std::span<const std::string_view> choices, const std::string& value) {
  if (kind == ValueKind::kChoice || !choices.empty()) {
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return absl::OkStatus();
    const std::vector<std::string> names(choices.begin(), choices.end());
    return UsageError(line,
                      fmt::format("{}: '{}' is not one of {}", what, value, fmt::join(names, ", ")),
                      Nearest(value, names));
  }
  if (kind == ValueKind::kCount) {
    int count = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
    if (error == std::errc() && end == value.data() + value.size() && count > 0) {
      return absl::OkStatus();
    }
    return UsageError(line, fmt::format("{}: '{}' is not a whole number from 1 to {}", what, value,
                                        std::numeric_limits<int>::max()));
  }
  if (value.empty()) return UsageError(line, fmt::format("{}: the value is empty", what));
  return absl::OkStatus();
}

// CLI11 splits the words into options, values and arguments; what they mean is up to the rows.
class Splitter {
 public:
  Splitter(std::span<const OptionRow> global, const Command* command) {
    app_.set_help_flag("");
    app_.allow_extras();
    for (const OptionRow& row : global) Add(row);
    if (command == nullptr) return;
    for (const OptionRow& row : command->options) Add(row);
    for (const ArgumentRow& row : command->arguments) {
      arguments_.push_back({&row, app_.add_option(std::string(row.name))});
    }
  }

  absl::Status Split(std::vector<std::string> words, const CommandLine& line) {
    std::reverse(words.begin(), words.end());  // as CLI11 takes them
    try {
      app_.parse(std::move(words));
    } catch (const CLI::ArgumentMismatch& mismatch) {
      // Its text begins with the option's name and a colon.
      const std::string text = mismatch.what();
      return UsageError(line,
                        fmt::format("option '{}' needs a value", text.substr(0, text.find(':'))));
    } catch (const CLI::Error& error) {
      return UsageError(line, error.what());
    }
    return absl::OkStatus();
  }

  absl::Status RefuseExtras(const CommandLine& line) const {
    std::vector<std::string> extras = app_.remaining();
    std::erase(extras, "--");  // the mark before words that are no options
    std::vector<std::string> known;
    for (const auto& [row, option] : options_) known.emplace_back(row->name);
    for (const std::string& extra : extras) {
      if (!LooksLikeOption(extra)) continue;
      const std::string name = extra.substr(0, extra.find('='));
      return UsageError(line, fmt::format("unknown option '{}'", name), Nearest(name, known));
    }
    if (extras.empty()) return absl::OkStatus();
    return UsageError(line, fmt::format("unexpected argument '{}'", extras.front()));
  }

  bool Given(std::string_view name) const {
    return std::any_of(options_.begin(), options_.end(), [&](const auto& one) {
      return one.first->name == name && one.second->count() > 0;
    });
  }

  absl::Status TakeValues(const Environment& environment, CommandLine& line) const {
    const bool is_alone = std::any_of(options_.begin(), options_.end(), [](const auto& one) {
      return one.first->stands_alone && one.second->count() > 0;
    });
    for (const auto& [row, option] : options_) {
      RETURN_IF_ERROR(TakeOption(*row, *option, is_alone, environment, line));
    }
    for (const auto& [row, option] : arguments_) {
      const bool given = option->count() > 0;
      if (!given && row->required && !is_alone) {
        return UsageError(line, fmt::format("missing argument {}", row->name));
      }
      if (given) {
        RETURN_IF_ERROR(CheckValue(line, fmt::format("argument {}", row->name), row->kind,
                                   row->choices, option->results().back()));
      }
      line.values.Set(row->name, given ? option->results().back() : "", given);
    }
    return absl::OkStatus();
  }

 private:
  void Add(const OptionRow& row) {
    CLI::Option* option =
        row.kind == ValueKind::kFlag ? app_.add_flag(NamesOf(row)) : app_.add_option(NamesOf(row));
    option->multi_option_policy(row.repeatable ? CLI::MultiOptionPolicy::TakeAll
                                               : CLI::MultiOptionPolicy::TakeLast);
    options_.push_back({&row, option});
  }

  static absl::Status TakeOption(const OptionRow& row, const CLI::Option& option, bool is_alone,
                                 const Environment& environment, CommandLine& line) {
    if (row.kind == ValueKind::kFlag) {
      line.values.Set(row.name, "", option.count() > 0);
      return absl::OkStatus();
    }
    std::string what = fmt::format("option '{}'", row.name);
    if (row.repeatable) {
      for (const std::string& one : option.results()) {
        RETURN_IF_ERROR(CheckValue(line, what, row.kind, row.choices, one));
      }
      line.values.SetAll(row.name, option.results());
      return absl::OkStatus();
    }
    const std::string_view from_env = row.env.empty() ? "" : Lookup(environment, row.env);
    std::string value(row.default_value);
    bool given = true;
    if (option.count() > 0) {
      value = option.results().back();
    } else if (!from_env.empty()) {
      value = from_env;
      what = fmt::format("environment variable {}", row.env);
    } else {
      given = false;
    }
    if (!given && row.required && !is_alone) {
      return UsageError(line, fmt::format("missing option '{}'", row.name));
    }
    if (given) {
      RETURN_IF_ERROR(CheckValue(line, what, row.kind, row.choices, value));
    }
    line.values.Set(row.name, std::move(value), given);
    return absl::OkStatus();
  }

  CLI::App app_;
  std::vector<std::pair<const OptionRow*, CLI::Option*>> options_;
  std::vector<std::pair<const ArgumentRow*, CLI::Option*>> arguments_;
};

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(std::span<const std::string> arguments,
                                             const Environment& environment) {
  CommandLine line;
  std::vector<std::string> words;
  std::span<const std::string> rest = arguments;
  RETURN_IF_ERROR(SplitCommand(rest, words, line));
  words.insert(words.end(), rest.begin(), rest.end());

  Splitter splitter(GlobalOptions(), line.command);
  const absl::Status split = splitter.Split(std::move(words), line);
  for (const std::string_view name : {"--help", "--version"}) {
    line.values.Set(name, "", splitter.Given(name));
  }
  if (line.values.Flag("--help") || line.values.Flag("--version")) {
    line.values.Set("--format", AsksForJson(arguments) ? "json" : "human", true);
    return line;
  }
  RETURN_IF_ERROR(split);
  RETURN_IF_ERROR(splitter.RefuseExtras(line));
  if (line.command == nullptr) {
    const std::vector<std::string> words_known =
        line.group.empty() ? FirstWords() : SecondWords(line.group);
    return UsageError(line,
                      fmt::format("a command is missing: one of {}", fmt::join(words_known, ", ")));
  }
  RETURN_IF_ERROR(splitter.TakeValues(environment, line));
  return line;
}

bool AsksForJson(std::span<const std::string> arguments) {
  bool json = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--format" && i + 1 < arguments.size()) json = arguments[i + 1] == "json";
    if (arguments[i].starts_with("--format=")) json = arguments[i] == "--format=json";
  }
  return json;
}

}  // namespace quantized
