#include "client/render/json.h"

#include <google/protobuf/util/time_util.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "client/render/result.h"
#include "client/rpc/error_detail.h"
#include "core/base/error.h"
#include "core/base/version.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

std::string Line(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string Indented(const Json& object) {
  return object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Digits that mean something, so that 0.1 + 0.2 does not show its binary tail.
double Rounded(double value, double steps_per_unit) {
  return std::round(value * steps_per_unit) / steps_per_unit;
}
double Ratio(double value) { return Rounded(value, 1e4); }
double Seconds(double value) { return Rounded(value, 1e3); }

Json Time(bool known, const google::protobuf::Timestamp& time) {
  return known ? Json(google::protobuf::util::TimeUtil::ToString(time)) : Json(nullptr);
}

Json Texts(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return std::vector<std::string>(texts.begin(), texts.end());
}

Json QualityObject(const v1::QualitySummary& quality) {
  return {{"text", quality.description()},
          {"tokens", quality.tokens()},
          {"source_perplexity", quality.source_perplexity()},
          {"perplexity", quality.perplexity()},
          {"kl_divergence", quality.kl_divergence()},
          {"kl_standard_error", quality.kl_standard_error()},
          {"top1_agreement", quality.top1_agreement()},
          {"report_files", Texts(quality.report_files())}};
}

Json ResultObject(const v1::QuantizeResult& result, std::string_view job_id) {
  Json metadata = {{"original_dtype", result.original_dtype()},
                   {"original_size", result.original_size_bytes()},
                   {"layers_processed", result.layers_processed()},
                   {"job_id", job_id},
                   {"attempts", result.attempts()},
                   {"already_done", result.already_done()},
                   {"fingerprint", result.fingerprint()},
                   {"tensors", result.tensors()},
                   {"units_reused", result.units_reused()},
                   {"threads", result.threads()},
                   {"cpu_seconds", Seconds(result.cpu_seconds())},
                   {"bits_per_weight", Ratio(result.bits_per_weight())},
                   {"device", result.device()},
                   {"host_memory_bytes", result.peak_memory_bytes()},
                   {"device_memory_bytes", result.device_memory_bytes()}};
  Json files = Json::array();
  for (const std::string& file : result.files()) files.push_back(file);
  if (files.empty()) files.push_back(result.output_path());
  metadata["files"] = std::move(files);
  Json substitutions = Json::array();
  for (const v1::Substitution& one : result.substitutions()) {
    substitutions.push_back({{"tensor", one.tensor()},
                             {"wanted_type", one.wanted_type()},
                             {"used_type", one.used_type()},
                             {"why", one.why()}});
  }
  metadata["substitutions"] = std::move(substitutions);
  if (result.has_calibration()) {
    const v1::CalibrationSummary& calibration = result.calibration();
    metadata["calibration"] = {{"data", calibration.description()},
                               {"hash", calibration.hash()},
                               {"samples", calibration.windows()},
                               {"sequence_length", calibration.sequence_length()}};
    metadata["notes"] = Texts(result.notes());
    if (result.group_size() != 0) {  // of awq and gptq
      metadata["group_size"] = result.group_size();
      metadata["mean_module_error"] =
          result.has_mean_module_error() ? Json(result.mean_module_error()) : Json();
    }
  }
  if (!result.fidelity().empty()) {
    const std::optional<double> error = RelativeErrorOf(result);
    metadata["conversion"] = {{"from", result.original_dtype()},
                              {"fidelity", result.fidelity()},
                              {"relative_error", error ? Json(*error) : Json()}};
  }
  if (result.has_quality()) metadata["quality"] = QualityObject(result.quality());
  return {{"status", "success"},
          {"output_path", MainFileOf(result)},
          {"format", result.format()},
          {"quantization_level", result.level()},
          {"file_size", result.file_size_bytes()},
          {"compression_ratio", Ratio(result.compression_ratio())},
          {"duration_seconds", Seconds(result.duration_seconds())},
          {"peak_memory_bytes", PeakMemoryOf(result)},
          {"validation_status", result.validation_status()},
          {"metadata", std::move(metadata)}};
}

Json ResultArray(const v1::QuantizeResults& results, std::string_view job_id) {
  Json array = Json::array();
  for (const v1::QuantizeResult& result : results.outputs()) {
    array.push_back(ResultObject(result, job_id));
  }
  return array;
}

Json ResultOrArray(const v1::QuantizeResults& results, std::string_view job_id) {
  return results.outputs_size() == 1 ? ResultObject(results.outputs(0), job_id)
                                     : ResultArray(results, job_id);
}

Json ErrorObject(const absl::Status& status, std::string_view log_tail, std::string_view job_id,
                 const v1::QuantizeResults& finished) {
  const ErrorRow& row = RowOf(ErrorOf(status));
  Json object = {{"status", "error"},
                 {"error_code", row.exit_code},
                 {"error_type", row.error_type},
                 {"message", std::string(status.message())},
                 {"suggestion", SuggestionOf(status)}};
  if (!job_id.empty()) object["job_id"] = job_id;
  if (!log_tail.empty()) object["log_tail"] = log_tail;
  if (!finished.outputs().empty()) object["finished"] = ResultArray(finished, job_id);
  return object;
}

// By the names of the command line.
Json GgufOptionsObject(const v1::GgufOptions& options) {
  return {{"imatrix", Texts(options.imatrix_paths())},
          {"imatrix_out", options.imatrix_out_path()},
          {"include_weights", Texts(options.include_weights())},
          {"exclude_weights", Texts(options.exclude_weights())},
          {"tensor_types", Texts(options.tensor_types())},
          {"output_tensor_type", options.output_tensor_type()},
          {"token_embedding_type", options.token_embedding_type()},
          {"leave_output_tensor", options.leave_output_tensor()},
          {"pure", options.pure()},
          {"prune_layers",
           std::vector<uint32_t>(options.prune_layers().begin(), options.prune_layers().end())},
          {"override_kv", Texts(options.override_kv())},
          {"keep_split", options.keep_split()},
          {"split_max_bytes", options.split_max_bytes()},
          {"allow_requantize", options.allow_requantize()}};
}

// Null where none was asked for.
Json CalibrationObject(const v1::QuantizeSpec& spec) {
  if (!spec.has_calibration()) return nullptr;
  const v1::CalibrationSpec& calibration = spec.calibration();
  Json object = {{"data", calibration.data_path()},
                 {"samples", calibration.samples()},
                 {"sequence_length", calibration.sequence_length()},
                 {"seed", calibration.seed()},
                 {"all_experts", calibration.all_tokens_to_experts()}};
  if (!spec.has_packed()) return object;
  const v1::PackedOptions& packed = spec.packed();
  object["group_size"] = packed.group_size();
  object["awq_clip"] = packed.awq_clip();
  object["asymmetric"] = packed.asymmetric();
  object["act_order"] = packed.column_order();
  object["damping"] = packed.damping();
  return object;
}

// Null where quality is not to be measured.
Json QualitySpecObject(const v1::QuantizeSpec& spec) {
  if (!spec.has_quality()) return nullptr;
  const v1::QualitySpec& quality = spec.quality();
  return {{"report", quality.report()},
          {"max_kld", quality.has_max_kld() ? Json(quality.max_kld()) : Json()},
          {"samples", quality.samples()}};
}

Json SpecObject(const v1::JobSpec& spec) {
  if (!spec.has_quantize()) return {{"operation", OperationOf(spec)}};
  const v1::QuantizeSpec& quantize = spec.quantize();
  std::vector<std::string> levels, paths;
  for (const v1::OutputSpec& output : quantize.outputs()) {
    levels.push_back(output.level());
    paths.push_back(output.path());
  }
  return {{"operation", OperationOf(spec)},
          {"model_name", quantize.model_name()},
          {"model_path", quantize.model_path()},
          {"commit", quantize.has_hub() ? Json(quantize.hub().commit()) : Json()},
          {"format", quantize.format()},
          {"levels", levels},
          {"output_path", paths.empty() ? "" : paths.front()},
          {"output_paths", paths},
          {"overwrite", quantize.overwrite()},
          {"quality", QualitySpecObject(quantize)},
          {"checkpoints", quantize.checkpoint().enabled()},
          {"checkpoint_dir", quantize.checkpoint().directory()},
          {"resume_from", quantize.checkpoint().resume_from()},
          {"threads", quantize.threads()},
          {"pre_tokenizer", quantize.pre_tokenizer()},
          {"strict", quantize.strict()},
          {"device", quantize.device()},
          {"gguf_options", GgufOptionsObject(quantize.gguf())},
          {"calibration", CalibrationObject(quantize)}};
}

Json JobObject(const v1::Job& job) {
  const v1::Progress& progress = job.progress();
  Json object = {{"id", job.id()},
                 {"state", v1::Job::State_Name(job.state())},
                 {"reason", job.reason()},
                 {"phase", v1::Phase_Name(job.phase())},
                 {"progress",
                  {{"done", progress.done()},
                   {"total", progress.total()},
                   {"unit", progress.unit()},
                   {"bytes_written", progress.bytes_written()},
                   {"elapsed_seconds", Seconds(progress.elapsed_seconds())}}},
                 {"attempt", job.attempt()},
                 {"queue_position", job.queue_position()},
                 {"create_time", Time(job.has_create_time(), job.create_time())},
                 {"start_time", Time(job.has_start_time(), job.start_time())},
                 {"end_time", Time(job.has_end_time(), job.end_time())},
                 {"spec", SpecObject(job.spec())}};
  if (job.result().has_quantize()) {
    object["result"] = ResultOrArray(job.result().quantize(), job.id());
  }
  if (job.has_error()) {
    const absl::Status status = StatusOf(job.error());
    object["error"] = ErrorObject(status, LogTailOf(status), job.id(), job.finished().quantize());
  }
  return object;
}

}  // namespace

std::string JsonResults(const v1::QuantizeResults& results, std::string_view job_id) {
  return Indented(ResultOrArray(results, job_id));
}

std::string JsonError(const absl::Status& status, std::string_view log_tail,
                      std::string_view job_id, const v1::QuantizeResults& finished) {
  return Indented(ErrorObject(status, log_tail, job_id, finished));
}

std::string JsonJob(const v1::Job& job) { return Indented(JobObject(job)); }

std::string JsonJobs(std::span<const v1::Job> jobs) {
  Json list = Json::array();
  for (const v1::Job& job : jobs) list.push_back(JobObject(job));
  return Indented({{"jobs", std::move(list)}});
}

std::string JsonServer(const v1::ServerInfo& info, std::string_view address) {
  return Indented(
      {{"status", "running"},
       {"address", address},
       {"version", info.version()},
       {"api_version", info.api_version()},
       {"pid", info.pid()},
       {"start_time", Time(info.has_start_time(), info.start_time())},
       {"embedded", info.embedded()},
       {"store_path", info.store_path()},
       {"log_path", info.log_path()},
       {"sqlite_version", info.sqlite_version()},
       {"slots", info.slots()},
       {"jobs_pending", info.jobs_pending()},
       {"jobs_running", info.jobs_running()},
       {"formats", std::vector<std::string>(info.formats().begin(), info.formats().end())}});
}

std::string JsonStopped(bool stopped, int64_t jobs_left) {
  return Indented({{"status", stopped ? "stopped" : "stopping"}, {"jobs_left", jobs_left}});
}

std::string JsonLog(std::string_view job_id, std::string_view log) {
  return Indented({{"job_id", job_id}, {"log", log}});
}

std::string JsonVersion() { return Indented({{"name", "llm-quantize"}, {"version", kVersion}}); }

std::string JsonMessageLine(std::string_view event, std::string_view message) {
  return Line({{"event", event}, {"message", message}});
}

std::string JsonProgressLine(const ProgressState& state) {
  Json line = {{"event", "progress"},
               {"label", state.label},
               {"done", state.done},
               {"total", state.total},
               {"unit", state.unit},
               {"percent", PercentOf(state)},
               {"elapsed_seconds", Seconds(state.elapsed_seconds)}};
  if (const std::optional<double> left = SecondsLeft(state)) {
    line["per_second"] = std::round(state.per_second);
    line["left_seconds"] = Seconds(*left);
  }
  return Line(line);
}

}  // namespace quantized
