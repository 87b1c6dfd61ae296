#include "client/render/resume_command.h"

#include <fmt/format.h>

#include <filesystem>
#include <string_view>
#include <vector>

#include "client/render/result.h"
#include "client/render/text.h"

namespace quantized {
namespace {

class CommandText {
 public:
  explicit CommandText(std::string text) : text_(std::move(text)) {}

  void Flag(std::string_view name, bool given) {
    if (given) text_ += fmt::format(" {}", name);
  }
  void Option(std::string_view name, std::string_view value) {
    if (!value.empty()) text_ += fmt::format(" {} {}", name, ShellQuote(value));
  }
  template <typename Values>
  void Options(std::string_view name, const Values& values) {
    for (const std::string& value : values) Option(name, value);
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string text_;
};

void AddQualityOptions(const v1::QualitySpec& quality, CommandText& command) {
  command.Flag("--report", quality.report());
  if (quality.has_max_kld()) command.Option("--max-kld", fmt::format("{}", quality.max_kld()));
  command.Option("--report-samples", fmt::format("{}", quality.samples()));
}

void AddGgufOptions(const v1::GgufOptions& options, CommandText& command) {
  // As it was typed: it goes into the output.
  command.Options("--imatrix", options.imatrix_names());
  command.Option("--imatrix-out", options.imatrix_out_name());
  command.Options("--include-weights", options.include_weights());
  command.Options("--exclude-weights", options.exclude_weights());
  command.Options("--tensor-type", options.tensor_types());
  command.Option("--output-tensor-type", options.output_tensor_type());
  command.Option("--token-embedding-type", options.token_embedding_type());
  command.Flag("--leave-output-tensor", options.leave_output_tensor());
  command.Flag("--pure", options.pure());
  command.Option("--prune-layers", fmt::format("{}", fmt::join(options.prune_layers(), ",")));
  command.Options("--override-kv", options.override_kv());
  command.Flag("--keep-split", options.keep_split());
  if (options.split_max_bytes() > 0) {
    command.Option("--split-max-size", fmt::format("{}M", options.split_max_bytes() / 1'000'000));
  }
  command.Flag("--allow-requantize", options.allow_requantize());
}

void AddCalibrationOptions(const v1::CalibrationSpec& calibration, CommandText& command) {
  command.Option("--calibration-data", calibration.data_path());
  command.Option("--calibration-samples", fmt::format("{}", calibration.samples()));
  command.Option("--sequence-length", fmt::format("{}", calibration.sequence_length()));
  command.Option("--seed", fmt::format("{}", calibration.seed()));
  command.Flag("--all-experts", calibration.all_tokens_to_experts());
}

void AddPackedOptions(const v1::PackedOptions& packed, CommandText& command) {
  command.Option("--group-size",
                 packed.group_size() == 0 ? "auto" : fmt::format("{}", packed.group_size()));
  command.Flag("--awq-clip", packed.awq_clip());
  command.Flag("--asymmetric", packed.asymmetric());
  command.Option("--act-order", packed.column_order());
  if (packed.damping() > 0) command.Option("--damping", fmt::format("{}", packed.damping()));
}

}  // namespace

std::string ResumeCommand(const v1::JobSpec& spec) {
  const v1::QuantizeSpec& quantize = spec.quantize();
  if (!quantize.checkpoint().enabled() || quantize.outputs().empty()) return "";
  std::vector<std::string_view> levels;
  for (const v1::OutputSpec& output : quantize.outputs()) levels.push_back(output.level());
  const std::filesystem::path output(quantize.outputs(0).path());
  const std::string& model = quantize.has_hub() ? quantize.model_name() : quantize.model_path();
  CommandText command(fmt::format("llm-quantize {} {} {}", OperationOf(spec), ShellQuote(model),
                                  ShellQuote(quantize.format())));
  command.Option("-q", fmt::format("{}", fmt::join(levels, ",")));
  command.Option("-o", output.parent_path().native());
  // Several outputs have the names that they get without it.
  if (levels.size() == 1) command.Option("-n", output.filename().native());
  command.Option("--checkpoint-dir", quantize.checkpoint().directory());
  command.Flag("--overwrite", quantize.overwrite());
  // The loss was accepted already.
  command.Flag("--force", quantize.conversion().may_requantize());
  command.Option("--pre", quantize.pre_tokenizer());
  command.Flag("--strict", quantize.strict());
  if (quantize.has_quality()) AddQualityOptions(quantize.quality(), command);
  AddGgufOptions(quantize.gguf(), command);
  if (quantize.has_calibration()) AddCalibrationOptions(quantize.calibration(), command);
  if (quantize.has_packed()) AddPackedOptions(quantize.packed(), command);
  return std::move(command).text();
}

}  // namespace quantized
