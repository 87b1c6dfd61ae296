#include "client/commands/command_table.h"

#include <array>

#include "client/commands/cache.h"
#include "client/commands/convert.h"
#include "client/commands/info.h"
#include "client/commands/jobs.h"
#include "client/commands/quantize.h"
#include "client/commands/server.h"

namespace quantized {
namespace {

constexpr std::array kCommands = {
    &kQuantizeCommand,   &kConvertCommand,      &kInfoCommand,        &kJobsListCommand,
    &kJobsShowCommand,   &kJobsAttachCommand,   &kJobsLogsCommand,    &kJobsWaitCommand,
    &kJobsCancelCommand, &kServerStatusCommand, &kServerStartCommand, &kServerStopCommand,
    &kCacheListCommand,  &kCacheVerifyCommand,  &kCachePruneCommand,
};

constexpr std::array<std::string_view, 2> kFormats = {"human", "json"};
constexpr std::array<std::string_view, 4> kVerbosities = {"quiet", "normal", "verbose", "debug"};
constexpr std::array<std::string_view, 5> kProgressModes = {"auto", "tty", "plain", "json", "none"};

constexpr std::array kGlobalOptions = {
    OptionRow{.name = "--version", .help = "Show version and exit"},
    OptionRow{.name = "--format",
              .kind = ValueKind::kChoice,
              .value_name = "TEXT",
              .help = "Output format: human (default), json",
              .default_value = "human",
              .choices = kFormats},
    OptionRow{.name = "--verbosity",
              .kind = ValueKind::kChoice,
              .value_name = "TEXT",
              .help = "Log level: quiet, normal (default), verbose, debug",
              .default_value = "normal",
              .choices = kVerbosities},
    OptionRow{.name = "--progress",
              .kind = ValueKind::kChoice,
              .value_name = "TEXT",
              .help = "Progress on stderr: auto (default), tty, plain, json, none",
              .default_value = "auto",
              .choices = kProgressModes},
    OptionRow{.name = "--host",
              .kind = ValueKind::kText,
              .value_name = "TEXT",
              .help =
                  "Daemon to use: unix:PATH or HOST:PORT (otherwise the machine's own, else one "
                  "that is started for you)",
              .env = "LLM_QUANTIZE_HOST"},
    OptionRow{.name = "--help", .short_name = 'h', .help = "Show this message and exit"},
};

}  // namespace

std::span<const Command* const> AllCommands() { return kCommands; }

std::span<const OptionRow> GlobalOptions() { return kGlobalOptions; }

}  // namespace quantized
