#include "daemon/worker/quantize.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/machine.h"
#include "core/base/status_macros.h"
#include "core/base/thread_pool.h"
#include "core/pipeline/convert.h"
#include "core/pipeline/quantize_directory.h"

namespace quantized {
namespace {

// What makes each format.
struct Format {
  std::string_view name;
  QuantizeOutcome (*quantize)(const QuantizeRequest& request, JobContext& context);
  absl::StatusOr<QuantizeForecast> (*forecast)(const QuantizeRequest& request, size_t threads);
};
constexpr Format kFormats[] = {{"gguf", Quantize, ForecastQuantize},
                               {"awq", QuantizeToDirectory, ForecastToDirectory},
                               {"gptq", QuantizeToDirectory, ForecastToDirectory}};

constexpr Format kConversion = {"", Convert, ForecastConvert};

const Format* FindFormat(std::string_view name) {
  for (const Format& format : kFormats) {
    if (format.name == name) return &format;
  }
  return nullptr;
}

// What makes the outputs of a spec that CheckRunnable accepts.
const Format& MakerOf(const v1::QuantizeSpec& spec) {
  return spec.has_conversion() ? kConversion : *FindFormat(spec.format());
}

struct OrderName {
  std::string_view name;
  ColumnOrder order;
};
constexpr OrderName kOrders[] = {{"none", ColumnOrder::kNatural},
                                 {"group", ColumnOrder::kGroupAware},
                                 {"static", ColumnOrder::kStaticActivation},
                                 {"full", ColumnOrder::kActivation}};

CalibrationRequest FromProto(const v1::CalibrationSpec& spec) {
  return {.data = spec.data_path(),
          .name = spec.data_name(),
          .samples = spec.samples(),
          .sequence_length = spec.sequence_length(),
          .seed = spec.seed(),
          .all_tokens_to_experts = spec.all_tokens_to_experts(),
          .is_given = true};
}

CalibratedOptions FromProto(const v1::PackedOptions& spec) {
  CalibratedOptions options;
  options.group_size = spec.group_size();
  options.awq_clip = spec.awq_clip();
  options.symmetric = !spec.asymmetric();
  for (const OrderName& row : kOrders) {
    if (row.name == spec.column_order()) options.order = row.order;
  }
  if (spec.damping() > 0) options.damping = spec.damping();
  return options;
}

QualityRequest FromProto(const v1::QualitySpec& spec) {
  QualityRequest request = {.is_wanted = true, .report = spec.report(), .samples = spec.samples()};
  if (spec.has_max_kld()) request.max_kld = spec.max_kld();
  return request;
}

QualitySummary FromProto(const v1::QualitySummary& stored) {
  QualitySummary quality = {.description = stored.description(),
                            .tokens = stored.tokens(),
                            .source_perplexity = stored.source_perplexity(),
                            .perplexity = stored.perplexity(),
                            .kl_divergence = stored.kl_divergence(),
                            .kl_standard_error = stored.kl_standard_error(),
                            .top1_agreement = stored.top1_agreement(),
                            .table = stored.table()};
  quality.report_files.assign(stored.report_files().begin(), stored.report_files().end());
  return quality;
}

v1::QualitySummary ToProto(const QualitySummary& quality) {
  v1::QualitySummary proto;
  proto.set_description(quality.description);
  proto.set_tokens(quality.tokens);
  proto.set_source_perplexity(quality.source_perplexity);
  proto.set_perplexity(quality.perplexity);
  proto.set_kl_divergence(quality.kl_divergence);
  proto.set_kl_standard_error(quality.kl_standard_error);
  proto.set_top1_agreement(quality.top1_agreement);
  for (const std::filesystem::path& file : quality.report_files) {
    proto.add_report_files(file.string());
  }
  proto.set_table(quality.table);
  return proto;
}

QuantizeResult FromProto(const v1::QuantizeResult& stored) {
  QuantizeResult result;
  result.output_path = stored.output_path();
  result.level = stored.level();
  result.fingerprint = stored.fingerprint();
  result.original_dtype = stored.original_dtype();
  result.original_size_bytes = stored.original_size_bytes();
  result.file_size_bytes = stored.file_size_bytes();
  result.tensors = stored.tensors();
  result.layers_processed = stored.layers_processed();
  result.units_reused = stored.units_reused();
  result.bits_per_weight = stored.bits_per_weight();
  for (const v1::Substitution& row : stored.substitutions()) {
    result.substitutions.push_back({row.tensor(), row.wanted_type(), row.used_type(), row.why()});
  }
  result.files.assign(stored.files().begin(), stored.files().end());
  if (!stored.device().empty()) result.device = stored.device();
  result.device_memory_bytes = stored.device_memory_bytes();
  result.format = stored.format();
  result.group_size = stored.group_size();
  result.calibration = {stored.calibration().description(), stored.calibration().hash(),
                        stored.calibration().windows(), stored.calibration().sequence_length()};
  if (stored.has_mean_module_error()) result.mean_module_error = stored.mean_module_error();
  result.notes.assign(stored.notes().begin(), stored.notes().end());
  if (stored.has_quality()) result.quality = FromProto(stored.quality());
  result.fidelity = stored.fidelity();
  return result;
}

GgufOptions FromProto(const v1::GgufOptions& spec) {
  GgufOptions options;
  options.imatrix_paths.assign(spec.imatrix_paths().begin(), spec.imatrix_paths().end());
  options.imatrix_names.assign(spec.imatrix_names().begin(), spec.imatrix_names().end());
  options.measure_importance = spec.measure_importance();
  options.imatrix_out = spec.imatrix_out_path();
  options.imatrix_out_name = spec.imatrix_out_name();
  options.include_weights.assign(spec.include_weights().begin(), spec.include_weights().end());
  options.exclude_weights.assign(spec.exclude_weights().begin(), spec.exclude_weights().end());
  options.tensor_types.assign(spec.tensor_types().begin(), spec.tensor_types().end());
  options.output_tensor_type = spec.output_tensor_type();
  options.token_embedding_type = spec.token_embedding_type();
  options.leave_output_tensor = spec.leave_output_tensor();
  options.pure = spec.pure();
  options.prune_layers.assign(spec.prune_layers().begin(), spec.prune_layers().end());
  options.override_kv.assign(spec.override_kv().begin(), spec.override_kv().end());
  options.keep_split = spec.keep_split();
  options.split_max_bytes = spec.split_max_bytes();
  options.allow_requantize = spec.allow_requantize();
  return options;
}

std::optional<QuantizeResult> PreviousResultAt(const v1::StartAttempt& start,
                                               const std::string& path) {
  for (const v1::QuantizeResult& previous : start.previous_results()) {
    if (previous.output_path() == path) return FromProto(previous);
  }
  return std::nullopt;
}

}  // namespace

absl::Status CheckRunnable(const v1::QuantizeSpec& spec) {
  if (FindFormat(spec.format()) == nullptr || spec.outputs().empty()) {
    return MakeError(Error::kNotImplemented,
                     absl::StrCat("this worker makes outputs of format gguf, awq and gptq, found ",
                                  spec.outputs_size(), " of format '", spec.format(), "'"));
  }
  return absl::OkStatus();
}

size_t ThreadsOf(const v1::QuantizeSpec& spec) {
  return spec.threads() > 0 ? spec.threads() : AvailableCpus();
}

absl::StatusOr<QuantizeForecast> Forecast(const v1::StartAttempt& start) {
  const v1::QuantizeSpec& spec = start.spec().quantize();
  RETURN_IF_ERROR(CheckRunnable(spec));
  return MakerOf(spec).forecast(QuantizeRequestOf(start), ThreadsOf(spec));
}

QuantizeRequest QuantizeRequestOf(const v1::StartAttempt& start) {
  const v1::QuantizeSpec& spec = start.spec().quantize();
  QuantizeRequest request;
  request.model_path = spec.model_path();
  request.model_name = spec.model_name();
  request.hub_repository = spec.hub().repository();
  for (const v1::OutputSpec& output : spec.outputs()) {
    request.outputs.push_back({.level = output.level(),
                               .path = output.path(),
                               .previous = PreviousResultAt(start, output.path())});
  }
  request.format = spec.format();
  request.gguf = FromProto(spec.gguf());
  if (spec.has_calibration()) request.calibration = FromProto(spec.calibration());
  request.calibrated = FromProto(spec.packed());
  if (request.gguf.split_max_bytes > 0) {
    request.calibrated.max_file_bytes = request.gguf.split_max_bytes;
  }
  if (spec.has_quality()) request.quality = FromProto(spec.quality());
  request.conversion = {.is_wanted = spec.has_conversion(),
                        .may_requantize = spec.conversion().may_requantize()};
  request.strict = spec.strict();
  request.device = spec.device();
  request.overwrite = spec.overwrite();
  request.checkpoint = {.enabled = spec.checkpoint().enabled(),
                        .directory = spec.checkpoint().directory(),
                        .resume_from = spec.checkpoint().resume_from()};
  request.pre_tokenizer = spec.pre_tokenizer();
  request.cache_directory = start.cache_dir();
  request.retried = start.attempt() > 1;
  return request;
}

v1::QuantizeResult ToProto(const QuantizeResult& result) {
  v1::QuantizeResult proto;
  proto.set_output_path(result.output_path.string());
  proto.set_format(result.format);
  proto.set_level(result.level);
  proto.set_file_size_bytes(result.file_size_bytes);
  if (result.original_size_bytes > 0) {
    proto.set_compression_ratio(static_cast<double>(result.file_size_bytes) /
                                static_cast<double>(result.original_size_bytes));
  }
  proto.set_validation_status("valid");  // the pipeline gives no other result
  proto.set_original_dtype(result.original_dtype);
  proto.set_original_size_bytes(result.original_size_bytes);
  proto.set_layers_processed(result.layers_processed);
  proto.set_fingerprint(result.fingerprint);
  proto.set_tensors(result.tensors);
  proto.set_units_reused(result.units_reused);
  proto.set_bits_per_weight(result.bits_per_weight);
  for (const SubstitutedType& row : result.substitutions) {
    v1::Substitution& substitution = *proto.add_substitutions();
    substitution.set_tensor(row.tensor);
    substitution.set_wanted_type(row.wanted_type);
    substitution.set_used_type(row.used_type);
    substitution.set_why(row.why);
  }
  proto.set_already_done(result.already_done);
  for (const std::filesystem::path& file : result.files) proto.add_files(file.string());
  proto.set_device(result.device);
  proto.set_device_memory_bytes(result.device_memory_bytes);
  proto.set_group_size(result.group_size);
  if (!result.calibration.hash.empty()) {
    v1::CalibrationSummary& calibration = *proto.mutable_calibration();
    calibration.set_description(result.calibration.description);
    calibration.set_hash(result.calibration.hash);
    calibration.set_windows(result.calibration.windows);
    calibration.set_sequence_length(result.calibration.sequence_length);
  }
  if (result.mean_module_error) proto.set_mean_module_error(*result.mean_module_error);
  for (const std::string& note : result.notes) proto.add_notes(note);
  if (result.quality) *proto.mutable_quality() = ToProto(*result.quality);
  proto.set_fidelity(result.fidelity);
  return proto;
}

JobOutcome RunQuantize(const v1::StartAttempt& start, std::stop_token stop,
                       ProgressSink& progress) {
  const v1::QuantizeSpec& spec = start.spec().quantize();
  if (absl::Status status = CheckRunnable(spec); !status.ok()) return {std::move(status), {}};
  ThreadPool threads(ThreadsOf(spec));
  JobContext context{std::move(stop), progress, threads};
  QuantizeOutcome done = MakerOf(spec).quantize(QuantizeRequestOf(start), context);

  JobOutcome outcome{std::move(done.status), {}};
  for (const QuantizeResult& result : done.finished) {
    v1::QuantizeResult& proto = *outcome.result.mutable_quantize()->add_outputs();
    proto = ToProto(result);
    proto.set_peak_memory_bytes(PeakResidentBytes());
    proto.set_threads(static_cast<uint32_t>(threads.size()));
    proto.set_cpu_seconds(ProcessCpuSeconds());
  }
  return outcome;
}

}  // namespace quantized
