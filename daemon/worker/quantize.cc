#include "daemon/worker/quantize.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/machine.h"
#include "core/base/status_macros.h"
#include "core/base/thread_pool.h"

namespace quantized {
namespace {

constexpr std::string_view kFormat = "gguf";

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
  return result;
}

}  // namespace

QuantizeRequest QuantizeRequestOf(const v1::StartAttempt& start) {
  const v1::QuantizeSpec& spec = start.spec().quantize();
  QuantizeRequest request;
  request.model_path = spec.model_path();
  request.model_name = spec.model_name();
  request.level = spec.levels(0);
  request.output_path = spec.output_path();
  request.overwrite = spec.overwrite();
  request.checkpoint = {.enabled = spec.checkpoint().enabled(),
                        .directory = spec.checkpoint().directory(),
                        .resume_from = spec.checkpoint().resume_from()};
  request.pre_tokenizer = spec.pre_tokenizer();
  if (start.has_previous_result()) request.previous = FromProto(start.previous_result());
  request.retried = start.attempt() > 1;
  return request;
}

v1::QuantizeResult ToProto(const QuantizeResult& result) {
  v1::QuantizeResult proto;
  proto.set_output_path(result.output_path.string());
  proto.set_format(std::string(kFormat));
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
  return proto;
}

absl::StatusOr<v1::JobResult> RunQuantize(const v1::StartAttempt& start, std::stop_token stop,
                                          ProgressSink& progress) {
  const v1::QuantizeSpec& spec = start.spec().quantize();
  if (spec.format() != kFormat || spec.levels_size() != 1) {
    return MakeError(Error::kNotImplemented,
                     absl::StrCat("this worker makes one level of format gguf, found ",
                                  spec.levels_size(), " of format '", spec.format(), "'"));
  }
  ThreadPool threads(spec.threads() > 0 ? spec.threads() : AvailableCpus());
  JobContext context{std::move(stop), progress, threads};
  ASSIGN_OR_RETURN(const QuantizeResult done, Quantize(QuantizeRequestOf(start), context));

  v1::JobResult result;
  v1::QuantizeResult& proto = *result.mutable_quantize();
  proto = ToProto(done);
  proto.set_peak_memory_bytes(PeakResidentBytes());
  proto.set_threads(static_cast<uint32_t>(threads.size()));
  proto.set_cpu_seconds(ProcessCpuSeconds());
  return result;
}

}  // namespace quantized
