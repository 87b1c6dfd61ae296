#include "daemon/worker/plan.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/pipeline/forecast.h"
#include "daemon/answer/json_answer.h"
#include "daemon/worker/quantize.h"
#include "quantized/v1/worker.pb.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxInputBytes = 1 << 20;  // more than a spec may have

absl::StatusOr<v1::QuantizeSpec> ReadSpec(std::FILE* input) {
  std::string bytes(kMaxInputBytes + 1, '\0');
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), input));
  v1::QuantizeSpec spec;
  if (bytes.size() > kMaxInputBytes || !spec.ParseFromString(bytes)) {
    return MakeError(
        Error::kInvalidArgument,
        absl::StrCat("standard input is no QuantizeSpec of at most ", kMaxInputBytes, " bytes"));
  }
  return spec;
}

Json OutputObject(const OutputForecast& output) {
  Json files = Json::array();
  for (const std::filesystem::path& file : output.files) files.push_back(file.string());
  Json substitutions = Json::array();
  for (const SubstitutedType& one : output.substitutions) {
    substitutions.push_back({{"tensor", one.tensor},
                             {"wanted_type", one.wanted_type},
                             {"used_type", one.used_type},
                             {"why", one.why}});
  }
  return {{"quantization_level", output.level},
          {"files", std::move(files)},
          {"file_size", output.size_bytes},
          {"bits_per_weight", output.bits_per_weight},
          {"substitutions", std::move(substitutions)}};
}

Json ConversionObject(const ConversionForecast& conversion) {
  return {{"from", conversion.from},
          {"fidelity", conversion.fidelity},
          {"why", conversion.why},
          {"relative_error", std::sqrt(conversion.relative_error)}};
}

Json PlanObject(const QuantizeForecast& forecast) {
  Json outputs = Json::array();
  for (const OutputForecast& output : forecast.outputs) outputs.push_back(OutputObject(output));
  return {{"status", "plan"},
          {"model_name", forecast.model.name},
          {"architecture", forecast.model.architecture},
          {"parameter_count", forecast.model.parameter_count},
          {"num_layers", forecast.model.num_layers},
          {"original_dtype",
           forecast.conversion ? forecast.conversion->from : forecast.model.dtype},
          {"original_size", forecast.model.size_bytes},
          {"outputs", std::move(outputs)},
          {"conversion", forecast.conversion ? ConversionObject(*forecast.conversion) : Json()},
          {"measures_importance", forecast.measures_importance},
          {"seconds", forecast.walk ? Json(forecast.walk->seconds) : Json()},
          {"threads", forecast.threads},
          {"memory_needed_bytes", forecast.memory_needed_bytes},
          {"memory_available_bytes", forecast.memory_available_bytes},
          {"device_memory_needed_bytes", forecast.walk ? forecast.walk->device_memory_bytes : 0},
          {"disk_needed_bytes", forecast.disk_needed_bytes},
          {"disk_free_bytes", forecast.disk_free_bytes},
          {"warnings", forecast.warnings}};
}

absl::StatusOr<Json> Plan(std::FILE* input) {
  v1::StartAttempt start;
  v1::QuantizeSpec& spec = *start.mutable_spec()->mutable_quantize();
  ASSIGN_OR_RETURN(spec, ReadSpec(input));
  ASSIGN_OR_RETURN(const QuantizeForecast forecast, Forecast(start));
  return PlanObject(forecast);
}

}  // namespace

int RunPlan(std::FILE* input) {
  return PrintAnswer([&] { return Plan(input); });
}

}  // namespace quantized
