#include "client/commands/man_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "client/commands/command_table.h"
#include "client/commands/help.h"
#include "core/base/error.h"
#include "core/base/version.h"

namespace quantized {
namespace {

// `text` as roff prints it, letter by letter: a hyphen stays one that can be searched for, and no
// line is taken for a request.
std::string Roff(std::string_view text) {
  std::string roff;
  for (const char c : text) {
    const bool at_line_start = roff.empty() || roff.back() == '\n';
    switch (c) {
      case '.':
        roff += at_line_start ? "\\&." : ".";
        break;
      case '-':
        roff += "\\-";
        break;
      case '\\':
        roff += "\\e";
        break;
      case '\'':
        roff += "\\(aq";
        break;
      case '^':
        roff += "\\(ha";
        break;
      case '~':
        roff += "\\(ti";
        break;
      default:
        roff += c;
    }
  }
  return roff;
}

std::string Bold(std::string_view text) { return fmt::format("\\fB{}\\fR", Roff(text)); }
std::string Italic(std::string_view text) { return fmt::format("\\fI{}\\fR", Roff(text)); }
std::string Section(std::string_view name) { return fmt::format(".SH {}\n", name); }
// The first paragraph of a section, and one after another.
std::string Text(std::string_view text) { return Roff(text) + "\n"; }
std::string Paragraph(std::string_view text) { return ".PP\n" + Text(text); }

// `tag` is roff already.
std::string Item(std::string_view tag, std::string_view text) {
  return fmt::format(".TP\n{}\n{}\n", tag, Roff(text));
}

std::string PageOf(std::string_view word) {
  return word.empty() ? "llm-quantize" : fmt::format("llm-quantize-{}", word);
}

std::vector<const Command*> CommandsOf(std::string_view word) {
  if (const Command* command = FindCommand(word)) return {command};
  std::vector<const Command*> commands;
  for (const std::string& second : SecondWords(word)) {
    commands.push_back(FindCommand(fmt::format("{} {}", word, second)));
  }
  return commands;
}

std::string WithoutFullStop(std::string_view summary) {
  std::string text(summary.substr(0, summary.find_last_not_of('.') + 1));
  text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::string Synopsis(const Command& command) {
  std::string line = Bold(fmt::format("llm-quantize {}", command.name));
  line += fmt::format(" [{}]", Italic("OPTIONS"));
  for (const ArgumentRow& row : command.arguments) {
    line += row.required ? " " + Italic(row.name) : fmt::format(" [{}]", Italic(row.name));
  }
  return line + "\n";
}

std::string Items(std::span<const ArgumentRow> rows) {
  std::string text;
  for (const ArgumentRow& row : rows) text += Item(Italic(row.name), row.help);
  return text;
}

std::string Items(std::span<const OptionRow> rows) {
  std::string text;
  for (const OptionRow& row : rows) {
    std::string tag;
    if (row.short_name != 0) tag += Bold(fmt::format("-{}", row.short_name)) + ", ";
    tag += Bold(row.name);
    if (!row.value_name.empty()) tag += " " + Italic(row.value_name);
    text += Item(tag, HelpOfOption(row));
  }
  return text;
}

std::string Description(const Command& command) {
  std::string text = Text(command.summary);
  // The notes end with a line end of their own.
  if (!command.notes.empty()) text += ".PP\n" + Roff(command.notes);
  return text;
}

std::string GlobalOptionsHint() {
  return "The options of " + Bold("llm-quantize") + "(1) are valid here, too.\n";
}

std::string BodyOfCommand(const Command& command) {
  std::string text = Section("DESCRIPTION") + Description(command);
  if (!command.arguments.empty()) text += Section("ARGUMENTS") + Items(command.arguments);
  text += Section("OPTIONS") + Items(command.options);
  return text + (command.options.empty() ? "" : ".PP\n") + GlobalOptionsHint();
}

std::string BodyOfGroup(std::span<const Command* const> commands) {
  std::string text = Section("COMMANDS");
  for (const Command* command : commands) {
    text += fmt::format(".SS {}\n", Roff(command->name));
    text += Description(*command) + Items(command->arguments) + Items(command->options);
  }
  return text + Section("OPTIONS") + GlobalOptionsHint();
}

std::string BodyOfProgram() {
  std::string text = Section("DESCRIPTION");
  text += Text(
      "Makes GGUF files, AWQ and GPTQ directories of large language models. A command submits a "
      "job to the daemon quantized, which it starts where none answers, shows the job's progress "
      "and prints its result. The job goes on when the terminal closes, and after a kill of any "
      "process from where it was.");
  text += Paragraph("Results go to stdout, progress and errors to stderr.");
  text += Section("COMMANDS");
  for (const Command* command : AllCommands()) text += Item(Bold(command->name), command->summary);
  return text + Section("OPTIONS") + Items(GlobalOptions());
}

std::string ExitStatus() {
  std::map<int, std::vector<std::string_view>> types;
  for (const ErrorRow& row : AllErrors()) types[row.exit_code].push_back(row.error_type);
  std::string text = Section("EXIT STATUS");
  text += Text("Each code with the errors that it stands for, by their names in JSON:");
  text += Item("0", "success");
  for (const auto& [code, names] : types) {
    text += Item(std::to_string(code), fmt::format("{}", fmt::join(names, ", ")));
  }
  return text + fmt::format(".PP\n{}", Roff(kSignalHelp));
}

std::string EnvironmentVariables() {
  std::map<std::string_view, std::string> helps;
  const auto add = [&](std::span<const OptionRow> rows) {
    for (const OptionRow& row : rows) {
      if (!row.env.empty()) helps[row.env] = fmt::format("Value of {} if not given", row.name);
    }
  };
  add(GlobalOptions());
  for (const Command* command : AllCommands()) add(command->options);
  for (const VariableRow& row : Variables()) helps[row.name] = row.help;
  std::string text = Section("ENVIRONMENT");
  for (const auto& [name, help] : helps) text += Item(Bold(name), help);
  return text;
}

std::string Examples(std::span<const Command* const> commands) {
  std::string text;
  for (const Command* command : commands) {
    for (const ExampleRow& row : command->examples) {
      if (!text.empty()) text += ".PP\n";
      text += Text(fmt::format("{}:", row.what));
      text += fmt::format(".PP\n.RS 4\n.EX\n{}\n.EE\n.RE\n", Roff(row.command));
    }
  }
  return text.empty() ? text : Section("EXAMPLES") + text;
}

std::string SeeAlso(std::string_view word) {
  std::vector<std::string> words = FirstWords();
  words.insert(words.begin(), "");
  std::erase(words, word);
  std::vector<std::string> pages;
  for (const std::string& other : words) pages.push_back(Bold(PageOf(other)) + "(1)");
  return Section("SEE ALSO") + fmt::format("{}\n", fmt::join(pages, ",\n"));
}

// What differs from page to page; the last three are roff already.
struct Parts {
  std::string word, what;
  std::string synopsis, body, examples;
};

ManPage MakePage(const Parts& parts, std::string_view date) {
  const std::string name = PageOf(parts.word);
  std::string title = name;
  std::ranges::transform(title, title.begin(), [](unsigned char c) { return std::toupper(c); });
  std::string text = fmt::format(".TH {} 1 {} \"llm\\-quantize {}\" \"User Commands\"\n",
                                 Roff(title), date, kVersion);
  text += ".ad l\n.nh\n";  // no hyphen within an option's name
  text += Section("NAME") + fmt::format("{} \\- {}\n", Roff(name), Roff(parts.what));
  text += Section("SYNOPSIS") + parts.synopsis + parts.body;
  text += ExitStatus() + EnvironmentVariables() + parts.examples + SeeAlso(parts.word);
  return {name, text};
}

Parts PartsOfProgram() {
  return {.word = "",
          .what = "turn large language models into quantized ones",
          .synopsis = fmt::format("{} [{}] {} [{}]\n", Bold("llm-quantize"), Italic("OPTIONS"),
                                  Italic("COMMAND"), Italic("ARGS")),
          .body = BodyOfProgram(),
          .examples = ""};
}

Parts PartsOf(const std::string& word) {
  const std::vector<const Command*> commands = CommandsOf(word);
  const bool is_group = FindCommand(word) == nullptr;
  std::string synopsis;
  for (const Command* command : commands) {
    synopsis += (synopsis.empty() ? "" : ".br\n") + Synopsis(*command);
  }
  return {.word = word,
          .what = is_group ? fmt::format("{} {}", word, fmt::join(SecondWords(word), ", "))
                           : WithoutFullStop(commands.front()->summary),
          .synopsis = synopsis,
          .body = is_group ? BodyOfGroup(commands) : BodyOfCommand(*commands.front()),
          .examples = Examples(commands)};
}

}  // namespace

std::vector<ManPage> ManPages(std::string_view date) {
  std::vector<ManPage> pages = {MakePage(PartsOfProgram(), date)};
  for (const std::string& word : FirstWords()) pages.push_back(MakePage(PartsOf(word), date));
  return pages;
}

}  // namespace quantized
