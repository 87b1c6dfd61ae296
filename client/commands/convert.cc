#include "client/commands/convert.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <system_error>

#include "client/commands/formats.h"
#include "core/base/error.h"

namespace quantized {
namespace {

constexpr std::array kArguments = {
    ArgumentRow{.name = "INPUT_MODEL", .help = "Path to quantized model"},
    ArgumentRow{.name = "OUTPUT_FORMAT",
                .help = "Target format: gguf, awq, gptq",
                .choices = kOutputFormats},
};

constexpr std::array kOptions = {
    OptionRow{.name = "--output-dir",
              .short_name = 'o',
              .kind = ValueKind::kPath,
              .value_name = "PATH",
              .help = "Output directory",
              .default_value = "."},
    OptionRow{.name = "--output-name",
              .short_name = 'n',
              .kind = ValueKind::kText,
              .value_name = "TEXT",
              .help = "Output filename"},
    OptionRow{.name = "--force", .help = "Skip quality degradation warning"},
};

CommandResult RunConvert(const Values& values, CommandContext&) {
  const std::string& input = values.Text("INPUT_MODEL");
  std::error_code error;
  if (!std::filesystem::exists(input, error)) {
    return {MakeError(Error::kInvalidArgument,
                      fmt::format("argument INPUT_MODEL: '{}' does not exist", input),
                      "Give the path of a quantized model")};
  }
  return {MakeError(Error::kNotImplemented, "convert is not in this version",
                    "Quantize the original model to the format that you need")};
}

}  // namespace

constexpr Command kConvertCommand = {
    .name = "convert",
    .summary = "Convert between quantized formats.",
    .arguments = kArguments,
    .options = kOptions,
    .run = RunConvert,
    .notes = "Not in this version: it checks its options and stops.\n"};

}  // namespace quantized
