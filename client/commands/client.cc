#include "client/commands/client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>
#include <string>
#include <vector>

#include "client/commands/command_line.h"
#include "client/commands/completion.h"
#include "client/commands/help.h"
#include "client/commands/levels.h"
#include "client/render/json.h"
#include "core/base/core_file.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/version.h"

namespace quantized {
namespace {

template <typename Value>
struct Choice {
  std::string_view name;
  Value value;
};
constexpr std::array kFormats = {Choice<Format>{"human", Format::kHuman},
                                 Choice<Format>{"json", Format::kJson}};
constexpr std::array kVerbosities = {Choice<Verbosity>{"quiet", Verbosity::kQuiet},
                                     Choice<Verbosity>{"normal", Verbosity::kNormal},
                                     Choice<Verbosity>{"verbose", Verbosity::kVerbose},
                                     Choice<Verbosity>{"debug", Verbosity::kDebug}};
constexpr std::array kProgressModes = {Choice<ProgressMode>{"auto", ProgressMode::kAuto},
                                       Choice<ProgressMode>{"tty", ProgressMode::kTty},
                                       Choice<ProgressMode>{"plain", ProgressMode::kPlain},
                                       Choice<ProgressMode>{"json", ProgressMode::kJson},
                                       Choice<ProgressMode>{"none", ProgressMode::kNone}};

// The value of a name that the command line has checked.
template <typename Table>
auto ValueOf(const Table& table, std::string_view name) {
  for (const auto& choice : table) {
    if (choice.name == name) return choice.value;
  }
  return table.front().value;
}

// A standard descriptor that is closed at start would be given to the next file or socket, which
// would then get our output. stdout and stderr are filled with one that cannot be written to.
void FillStandardDescriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) open("/dev/null", O_RDONLY);
  }
}

std::filesystem::path ProgramDir() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

// By the signal itself, so that shells see it: a loop around us stops on Ctrl-C.
void DieBy(int number) {
  signal(number, SIG_DFL);
  raise(number);
}

int Finish(const CommandResult& result, Output& output) {
  int exit_code = 0;
  if (!result.status.ok()) {
    output.Fail(result.status, result.job_id, result.finished);
    exit_code = RowOf(ErrorOf(result.status)).exit_code;
  }
  if (result.signal != 0) {
    output.KeepProgress();
    DieBy(result.signal);
  }
  return exit_code;
}

absl::Status PrintHelpOrVersion(const CommandLine& line, Output& output) {
  if (line.values.Flag("--help")) return output.WriteResult(HelpText(line.command, line.group));
  return output.WriteResult(output.format() == Format::kJson
                                ? JsonVersion()
                                : fmt::format("llm-quantize {}\n", kVersion));
}

int Complete(std::span<const std::string> words, const Environment& environment) {
  Output output(STDOUT_FILENO, STDERR_FILENO, {}, environment);
  const CommandContext context{environment, output, ProgramDir(), /*host=*/""};
  const auto levels_of = [&](std::string_view format) { return AskLevels(context, format); };
  return Finish({output.WriteResult(CompletionLines(words, levels_of))}, output);
}

}  // namespace

int RunClient(int argc, char** argv) {
  LeaveNoCoreFile();  // it would hold the token of the Hub
  FillStandardDescriptors();
  signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const Environment environment = ProcessEnvironment();
  if (!arguments.empty() && arguments[0] == kCompleteWord) {
    return Complete(std::span(arguments).subspan(1), environment);
  }
  const auto line = ParseCommandLine(arguments, environment);

  OutputOptions options;
  options.format = AsksForJson(arguments) ? Format::kJson : Format::kHuman;
  const bool only_prints =
      line.ok() && (line->values.Flag("--help") || line->values.Flag("--version"));
  if (line.ok() && !only_prints) {
    options.format = ValueOf(kFormats, line->values.Text("--format"));
    options.verbosity = ValueOf(kVerbosities, line->values.Text("--verbosity"));
    options.progress = ValueOf(kProgressModes, line->values.Text("--progress"));
  }
  Output output(STDOUT_FILENO, STDERR_FILENO, options, environment);
  if (!line.ok()) return Finish({line.status()}, output);
  if (only_prints) return Finish({PrintHelpOrVersion(*line, output)}, output);
  CommandContext context{environment, output, ProgramDir(), line->values.Text("--host")};
  return Finish(line->command->run(line->values, context), output);
}

}  // namespace quantized
