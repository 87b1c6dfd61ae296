#include "daemon/queue/spec_check.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/ids.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr size_t kMaxPathBytes = 4096;  // PATH_MAX
// Paths, names, and a type for each tensor of a large model.
constexpr size_t kMaxSpecBytes = 512 << 10;
constexpr uint32_t kMaxThreads = 4096;
constexpr int kMaxOutputs = 64;    // more than there are levels
constexpr int kMaxListed = 16384;  // patterns, names, layers
constexpr size_t kMaxDeviceDigits = 4;
constexpr size_t kCommitDigits = 40;
constexpr size_t kMaxTokenBytes = 4096;

constexpr std::array<std::string_view, 3> kFormats = {"gguf", "awq", "gptq"};
constexpr std::array<std::string_view, 5> kColumnOrders = {"", "none", "group", "static", "full"};
constexpr uint32_t kMaxCalibration = 1 << 20;  // samples, tokens of one

absl::Status BadField(std::string_view field, std::string_view problem) {
  return MakeError(Error::kInvalidArgument,
                   absl::StrCat(std::string(field), ": ", std::string(problem)));
}

// Text of a user that ends up in a path, a message or the log.
absl::Status CheckText(std::string_view field, const std::string& value) {
  if (value.size() > kMaxPathBytes) {
    return BadField(field, absl::StrCat("found ", value.size(), " bytes, at most ", kMaxPathBytes,
                                        " are allowed"));
  }
  if (value.find('\0') != std::string::npos) return BadField(field, "contains a zero byte");
  return absl::OkStatus();
}

absl::Status CheckPath(std::string_view field, const std::string& value) {
  RETURN_IF_ERROR(CheckText(field, value));
  if (!absl::StartsWith(value, "/")) {
    return BadField(field, absl::StrCat("found '", value, "', needed an absolute path"));
  }
  return absl::OkStatus();
}

// A list of texts, none of them empty.
absl::Status CheckTexts(std::string_view field,
                        const google::protobuf::RepeatedPtrField<std::string>& values) {
  if (values.size() > kMaxListed) {
    return BadField(field, absl::StrCat("found ", values.size(), ", at most ", kMaxListed));
  }
  for (const std::string& value : values) {
    if (value.empty()) return BadField(field, "one of them is empty");
    RETURN_IF_ERROR(CheckText(field, value));
  }
  return absl::OkStatus();
}

// The name of a file in its one spelling, so that the same path is the same text.
absl::Status CheckOutputPath(const std::string& value) {
  RETURN_IF_ERROR(CheckPath("outputs.path", value));
  const std::filesystem::path path(value);
  if (!path.has_filename()) {
    return BadField("outputs.path", absl::StrCat("found '", value, "', needed the name of a file"));
  }
  if (path.lexically_normal() != path) {
    return BadField("outputs.path", absl::StrCat("found '", value, "', needed '",
                                                 path.lexically_normal().string(), "'"));
  }
  return absl::OkStatus();
}

absl::Status CheckOutputs(const google::protobuf::RepeatedPtrField<v1::OutputSpec>& outputs) {
  if (outputs.empty() || outputs.size() > kMaxOutputs) {
    return BadField("outputs",
                    absl::StrCat("found ", outputs.size(), ", needed 1 to ", kMaxOutputs));
  }
  std::set<std::string> levels;
  std::set<std::string> paths;
  for (const v1::OutputSpec& output : outputs) {
    if (output.level().empty()) return BadField("outputs.level", "the level is empty");
    RETURN_IF_ERROR(CheckText("outputs.level", output.level()));
    RETURN_IF_ERROR(CheckOutputPath(output.path()));
    if (!levels.insert(absl::AsciiStrToUpper(output.level())).second) {
      return BadField("outputs.level", absl::StrCat("found '", output.level(), "' twice"));
    }
    if (!paths.insert(output.path()).second) {
      return BadField("outputs.path", absl::StrCat("found '", output.path(), "' twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckGguf(const v1::GgufOptions& options) {
  RETURN_IF_ERROR(CheckTexts("gguf.imatrix_paths", options.imatrix_paths()));
  for (const std::string& path : options.imatrix_paths()) {
    RETURN_IF_ERROR(CheckPath("gguf.imatrix_paths", path));
  }
  RETURN_IF_ERROR(CheckTexts("gguf.imatrix_names", options.imatrix_names()));
  if (!options.imatrix_out_path().empty()) {
    RETURN_IF_ERROR(CheckPath("gguf.imatrix_out_path", options.imatrix_out_path()));
  }
  RETURN_IF_ERROR(CheckText("gguf.imatrix_out_name", options.imatrix_out_name()));
  if (options.measure_importance() && !options.imatrix_paths().empty()) {
    return BadField("gguf.measure_importance", "cannot be used with imatrix_paths");
  }
  RETURN_IF_ERROR(CheckTexts("gguf.include_weights", options.include_weights()));
  RETURN_IF_ERROR(CheckTexts("gguf.exclude_weights", options.exclude_weights()));
  RETURN_IF_ERROR(CheckTexts("gguf.tensor_types", options.tensor_types()));
  RETURN_IF_ERROR(CheckText("gguf.output_tensor_type", options.output_tensor_type()));
  RETURN_IF_ERROR(CheckText("gguf.token_embedding_type", options.token_embedding_type()));
  RETURN_IF_ERROR(CheckTexts("gguf.override_kv", options.override_kv()));
  if (options.prune_layers_size() > kMaxListed) {
    return BadField("gguf.prune_layers",
                    absl::StrCat("found ", options.prune_layers_size(), ", at most ", kMaxListed));
  }
  if (!options.include_weights().empty() && !options.exclude_weights().empty()) {
    return BadField("gguf.exclude_weights", "cannot be used with include_weights");
  }
  if (options.keep_split() && options.split_max_bytes() > 0) {
    return BadField("gguf.split_max_bytes", "cannot be used with keep_split");
  }
  return absl::OkStatus();
}

absl::Status CheckDevice(const std::string& device) {
  constexpr std::string_view kNumbered = "cuda:";
  if (device.empty() || device == "auto" || device == "cpu" || device == "cuda") {
    return absl::OkStatus();
  }
  const std::string_view number =
      std::string_view(device).substr(std::min(device.size(), kNumbered.size()));
  const bool digits = std::ranges::all_of(number, [](char c) { return absl::ascii_isdigit(c); });
  if (absl::StartsWith(device, "cuda:") && !number.empty() && number.size() <= kMaxDeviceDigits &&
      digits) {
    return absl::OkStatus();
  }
  return BadField("device", absl::StrCat("found '", device.substr(0, 64),
                                         "', needed auto, cpu, cuda or cuda:N"));
}

absl::Status CheckFormat(const std::string& format) {
  if (std::ranges::count(kFormats, format) == 0) {
    return BadField("format", absl::StrCat("found '", format, "', needed gguf, awq or gptq"));
  }
  return absl::OkStatus();
}

absl::Status CheckCalibration(const v1::CalibrationSpec& calibration) {
  if (!calibration.data_path().empty()) {
    RETURN_IF_ERROR(CheckPath("calibration.data_path", calibration.data_path()));
  }
  RETURN_IF_ERROR(CheckText("calibration.data_name", calibration.data_name()));
  for (const auto& [field, value] :
       {std::pair("calibration.samples", calibration.samples()),
        std::pair("calibration.sequence_length", calibration.sequence_length())}) {
    if (value == 0 || value > kMaxCalibration) {
      return BadField(field, absl::StrCat("found ", value, ", needed 1 to ", kMaxCalibration));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPacked(const v1::PackedOptions& packed) {
  if (packed.group_size() < -1 || packed.group_size() > kMaxCalibration) {
    return BadField("packed.group_size", absl::StrCat("found ", packed.group_size(),
                                                      ", needed -1 to ", kMaxCalibration));
  }
  if (std::ranges::count(kColumnOrders, packed.column_order()) == 0) {
    return BadField("packed.column_order", absl::StrCat("found '", packed.column_order(),
                                                        "', needed none, group, static or full"));
  }
  if (!(packed.damping() >= 0) || packed.damping() >= 1) {
    return BadField("packed.damping",
                    absl::StrCat("found ", packed.damping(), ", needed 0 to below 1"));
  }
  return absl::OkStatus();
}

absl::Status CheckQuality(const v1::QualitySpec& quality) {
  if (quality.samples() == 0 || quality.samples() > kMaxCalibration) {
    return BadField("quality.samples",
                    absl::StrCat("found ", quality.samples(), ", needed 1 to ", kMaxCalibration));
  }
  if (quality.has_max_kld() && !(quality.max_kld() >= 0)) {
    return BadField("quality.max_kld",
                    absl::StrCat("found ", quality.max_kld(), ", needed 0 or more"));
  }
  return absl::OkStatus();
}

absl::Status CheckCheckpoint(const v1::CheckpointPolicy& policy) {
  if (policy.enabled()) {
    RETURN_IF_ERROR(CheckPath("checkpoint.directory", policy.directory()));
  }
  if (policy.resume_from().empty()) return absl::OkStatus();
  if (!policy.enabled()) {
    return BadField("checkpoint.resume_from", "needs checkpoints, which are disabled");
  }
  return CheckPath("checkpoint.resume_from", policy.resume_from());
}

absl::Status CheckHub(const v1::HubModel& hub) {
  for (const auto& [field, value] :
       {std::pair("hub.repository", &hub.repository()), std::pair("hub.revision", &hub.revision()),
        std::pair("hub.endpoint", &hub.endpoint())}) {
    if (value->empty()) return BadField(field, "is empty");
    RETURN_IF_ERROR(CheckText(field, *value));
  }
  const bool is_hash = std::ranges::all_of(hub.commit(), absl::ascii_isxdigit);
  if (hub.commit().size() != kCommitDigits || !is_hash) {
    return BadField("hub.commit", absl::StrCat("found '", hub.commit().substr(0, 64), "', needed ",
                                               kCommitDigits, " hexadecimal digits"));
  }
  RETURN_IF_ERROR(CheckPath("hub.cache_dir", hub.cache_dir()));
  for (const auto& [field, value] : {std::pair("hub.shared_cache_dir", &hub.shared_cache_dir()),
                                     std::pair("hub.certificates", &hub.certificates())}) {
    if (value->empty()) continue;
    RETURN_IF_ERROR(CheckPath(field, *value));
  }
  return absl::OkStatus();
}

absl::Status CheckModel(const v1::QuantizeSpec& spec) {
  RETURN_IF_ERROR(CheckText("model_name", spec.model_name()));
  if (!spec.has_hub()) return CheckPath("model_path", spec.model_path());
  if (!spec.model_path().empty()) return BadField("model_path", "cannot be used with hub");
  return CheckHub(spec.hub());
}

absl::Status CheckQuantize(const v1::QuantizeSpec& spec) {
  RETURN_IF_ERROR(CheckFormat(spec.format()));
  RETURN_IF_ERROR(CheckModel(spec));
  RETURN_IF_ERROR(CheckOutputs(spec.outputs()));
  RETURN_IF_ERROR(CheckGguf(spec.gguf()));
  const bool is_calibrated = spec.format() != "gguf" && !spec.has_conversion();
  if (is_calibrated || spec.has_calibration()) {
    RETURN_IF_ERROR(CheckCalibration(spec.calibration()));
  }
  if (is_calibrated) {
    RETURN_IF_ERROR(CheckPacked(spec.packed()));
  }
  if (spec.has_conversion() && spec.outputs_size() != 1) {
    return BadField("outputs",
                    absl::StrCat("found ", spec.outputs_size(), ", a conversion makes 1"));
  }
  if (spec.has_quality()) {
    RETURN_IF_ERROR(CheckQuality(spec.quality()));
  }
  RETURN_IF_ERROR(CheckDevice(spec.device()));
  RETURN_IF_ERROR(CheckText("cuda_visible_devices", spec.cuda_visible_devices()));
  RETURN_IF_ERROR(CheckText("pre_tokenizer", spec.pre_tokenizer()));
  if (spec.threads() > kMaxThreads) {
    return BadField("threads", absl::StrCat("found ", spec.threads(), ", at most ", kMaxThreads));
  }
  return CheckCheckpoint(spec.checkpoint());
}

}  // namespace

std::vector<std::string_view> AcceptedFormats() { return {kFormats.begin(), kFormats.end()}; }

absl::Status CheckSubmit(const v1::SubmitJobRequest& request) {
  if (!IsUuid(request.request_id())) {
    return BadField("request_id", absl::StrCat("found '", request.request_id().substr(0, 64),
                                               "', needed a UUID"));
  }
  if (request.hub_token().size() > kMaxTokenBytes) {
    return BadField("hub_token", absl::StrCat("found ", request.hub_token().size(),
                                              " bytes, at most ", kMaxTokenBytes, " are allowed"));
  }
  if (const size_t size = request.spec().ByteSizeLong(); size > kMaxSpecBytes) {
    return BadField(
        "spec", absl::StrCat("found ", size, " bytes, at most ", kMaxSpecBytes, " are allowed"));
  }
  switch (request.spec().operation_case()) {
    case v1::JobSpec::kQuantize:
      return CheckQuantize(request.spec().quantize());
    case v1::JobSpec::kNoop:
      return absl::OkStatus();
    case v1::JobSpec::OPERATION_NOT_SET:
      break;
  }
  return BadField("spec.operation", "is not set");
}

}  // namespace quantized
