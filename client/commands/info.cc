#include "client/commands/info.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "client/commands/child_process.h"
#include "client/commands/model_argument.h"
#include "client/render/model_info.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr size_t kMaxInspectionBytes = 16 << 20;

constexpr std::array kArguments = {
    ArgumentRow{.name = "MODEL",
                .help = "Model path (HF Hub ID, local directory, or quantized file)"},
};

// A worker that failed: in its own words where it left an object, else by its exit code.
absl::Status FailureOf(const ChildOutput& child) {
  if (child.signal != 0) {
    return MakeError(
        Error::kWorkerCrashed,
        fmt::format("the inspection of the model was killed by signal {}", child.signal));
  }
  RETURN_IF_ERROR(ErrorInInspection(child.out));
  const auto rows = AllErrors();
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const ErrorRow& one) {
    return one.exit_code == child.exit_code;
  });
  std::string message = child.err.substr(0, child.err.find('\n'));
  if (message.empty()) {
    message = fmt::format("the inspection of the model ended with exit code {}", child.exit_code);
  }
  return MakeError(row == rows.end() ? Error::kInternal : row->error, message);
}

absl::Status ShowInfo(const Values& values, CommandContext& context) {
  const std::string& model = values.Text("MODEL");
  ASSIGN_OR_RETURN(const std::filesystem::path path, ResolveModel(model));
  const std::filesystem::path worker = context.program_dir / "quantize-worker";
  ASSIGN_OR_RETURN(const ChildOutput child,
                   RunChild({worker, "inspect", path}, kMaxInspectionBytes));
  if (child.signal != 0 || child.exit_code != 0) return FailureOf(child);
  ASSIGN_OR_RETURN(const ModelInfoText text, FormatModelInfo(child.out));
  return context.output.WriteResult(context.output.format() == Format::kJson ? text.json
                                                                             : text.human);
}

CommandResult RunInfo(const Values& values, CommandContext& context) {
  return {ShowInfo(values, context)};
}

}  // namespace

constexpr Command kInfoCommand = {.name = "info",
                                  .summary = "Display model information.",
                                  .arguments = kArguments,
                                  .options = {},
                                  .run = RunInfo,
                                  .notes = "Needs no daemon. Hub IDs are not in this version.\n"};

}  // namespace quantized
