// The options that every command has that makes something of a model in a job, and what they do.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/commands/command.h"

namespace quantized {

inline constexpr OptionRow kOutputDirOption = {.name = "--output-dir",
                                               .short_name = 'o',
                                               .kind = ValueKind::kDirectory,
                                               .value_name = "PATH",
                                               .help = "Output directory",
                                               .default_value = "."};
inline constexpr OptionRow kNoCheckpointsOption = {.name = "--no-checkpoints",
                                                   .help = "Disable layer-level checkpoints"};
inline constexpr OptionRow kCheckpointDirOption = {.name = "--checkpoint-dir",
                                                   .kind = ValueKind::kDirectory,
                                                   .value_name = "PATH",
                                                   .help = "Checkpoint directory",
                                                   .default_value = "./.checkpoint",
                                                   .env = "LLM_QUANTIZE_CHECKPOINT_DIR"};
inline constexpr OptionRow kResumeOption = {.name = "--resume",
                                            .kind = ValueKind::kDirectory,
                                            .value_name = "PATH",
                                            .help = "Resume from checkpoint"};
inline constexpr OptionRow kOverwriteOption = {
    .name = "--overwrite", .help = "Replace an output that is there already, but nothing else"};
inline constexpr OptionRow kThreadsOption = {.name = "--threads",
                                             .kind = ValueKind::kCount,
                                             .value_name = "INT",
                                             .help = "Threads to use (all processors if not set)"};
inline constexpr OptionRow kPreOption = {
    .name = "--pre",
    .kind = ValueKind::kText,
    .value_name = "TEXT",
    .help = "Name of the pre-tokenizer, where it is not recognised"};
inline constexpr OptionRow kPlanOption = {
    .name = "--plan", .help = "Show what would be made and what it needs, and make nothing"};
inline constexpr OptionRow kDetachOption = {
    .name = "--detach", .help = "Submit the job, print its id and do not wait for it"};

// kInvalidArgument where both options of a pair are given.
absl::Status CheckOpposites(const Values& values,
                            std::span<const std::pair<std::string_view, std::string_view>> pairs);
// The same for the pairs among the options here.
absl::Status CheckJobOptions(const Values& values);

// Checkpoints, threads, overwriting.
void SetJobOptions(const Values& values, v1::QuantizeSpec& spec);

// What `quantize-worker plan` says of the job.
absl::StatusOr<std::string> AskPlan(const v1::QuantizeSpec& spec, CommandContext& context);
// Prints it. A spec without a model's path is one of the Hub's model of its name, of which only
// what describes it is fetched.
absl::Status ShowPlan(v1::QuantizeSpec spec, CommandContext& context);

// Submits the job, and follows it unless it is to be detached. A spec without a model's path is
// pinned to what the Hub's model of its name is now.
CommandResult RunJob(const Values& values, v1::QuantizeSpec spec, CommandContext& context);

}  // namespace quantized
