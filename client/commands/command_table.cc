#include "client/commands/command_table.h"

#include <algorithm>
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

constexpr std::array kVariables = {
    VariableRow{.name = "LLM_QUANTIZE_CACHE",
                .help = "Where models of the Hub are kept, ~/.cache/llm-quantize if not set"},
    VariableRow{.name = "HF_TOKEN",
                .help =
                    "Token for gated and private models; also taken: HUGGING_FACE_HUB_TOKEN, the "
                    "file HF_TOKEN_PATH, and the file token in HF_HOME"},
    VariableRow{.name = "HF_ENDPOINT, HF_HUB_OFFLINE, HF_HUB_CACHE, HF_HOME",
                .help = "As huggingface_hub has them; also taken: TRANSFORMERS_OFFLINE, "
                        "HUGGINGFACE_HUB_CACHE"},
    VariableRow{.name = "REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE, SSL_CERT_DIR",
                .help = "Certificates to trust; of jobs, too"},
    VariableRow{.name = "https_proxy, no_proxy",
                .help = "The way to the Hub; of jobs, those of the daemon"},
    VariableRow{.name = "CUDA_VISIBLE_DEVICES",
                .help = "GPUs that a job may use; the client's goes with the job"},
    VariableRow{.name = "NO_COLOR", .help = "No colours on stderr"},
};

}  // namespace

std::span<const Command* const> AllCommands() { return kCommands; }

const Command* FindCommand(std::string_view name) {
  for (const Command* command : AllCommands()) {
    if (command->name == name) return command;
  }
  return nullptr;
}

std::vector<std::string> FirstWords() {
  std::vector<std::string> words;
  for (const Command* command : AllCommands()) {
    const std::string word(command->name.substr(0, command->name.find(' ')));
    if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
  }
  return words;
}

std::vector<std::string> SecondWords(std::string_view group) {
  std::vector<std::string> words;
  for (const Command* command : AllCommands()) {
    if (command->name.starts_with(std::string(group) + " ")) {
      words.emplace_back(command->name.substr(group.size() + 1));
    }
  }
  return words;
}

std::span<const OptionRow> GlobalOptions() { return kGlobalOptions; }

std::span<const VariableRow> Variables() { return kVariables; }

}  // namespace quantized
