#include "client/commands/cache.h"

#include <array>
#include <string>
#include <vector>

#include "client/commands/ask_fetcher.h"
#include "client/render/cache.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr std::array kVerifyOptions = {
    OptionRow{.name = "--remove", .help = "Remove what is wrong; it is fetched again when needed"},
};

constexpr std::array kPruneOptions = {
    OptionRow{.name = "--older-than",
              .kind = ValueKind::kCount,
              .value_name = "DAYS",
              .help = "Remove also models that were not used for so many days"},
};

constexpr std::array kPruneExamples = {
    ExampleRow{"Keep what was used within a month", "llm-quantize cache prune --older-than 30"},
};

constexpr std::string_view kNotes =
    "The cache is in LLM_QUANTIZE_CACHE, which is ~/.cache/llm-quantize if not set.\n";

absl::Status Show(std::vector<std::string> words, std::string (*human)(std::string_view),
                  CommandContext& context) {
  words.insert(words.begin(), "cache");
  ASSIGN_OR_RETURN(const std::string answer,
                   AskFetcher(context, "the care of the cache", std::move(words)));
  return context.output.WriteResult(context.output.format() == Format::kJson ? answer
                                                                             : human(answer));
}

CommandResult RunList(const Values&, CommandContext& context) {
  return {Show({"list"}, HumanCacheList, context)};
}

CommandResult RunVerify(const Values& values, CommandContext& context) {
  std::vector<std::string> words = {"verify"};
  if (values.Flag("--remove")) words.push_back("--remove");
  return {Show(std::move(words), HumanCacheVerify, context)};
}

CommandResult RunPrune(const Values& values, CommandContext& context) {
  std::vector<std::string> words = {"prune"};
  if (values.Has("--older-than")) {
    words.insert(words.end(), {"--older-than", values.Text("--older-than")});
  }
  return {Show(std::move(words), HumanCachePrune, context)};
}

}  // namespace

constexpr Command kCacheListCommand = {.name = "cache list",
                                       .summary = "List the models fetched from the Hub.",
                                       .arguments = {},
                                       .options = {},
                                       .run = RunList,
                                       .notes = kNotes};
constexpr Command kCacheVerifyCommand = {
    .name = "cache verify",
    .summary = "Check every file in the cache against its hash.",
    .arguments = {},
    .options = kVerifyOptions,
    .run = RunVerify,
    .notes = kNotes};
constexpr Command kCachePruneCommand = {.name = "cache prune",
                                        .summary = "Remove what no model in the cache needs.",
                                        .arguments = {},
                                        .options = kPruneOptions,
                                        .run = RunPrune,
                                        .notes = kNotes,
                                        .examples = kPruneExamples};

}  // namespace quantized
