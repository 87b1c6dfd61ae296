#include "daemon/queue/spec_check.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/ids.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr size_t kMaxPathBytes = 4096;   // PATH_MAX
constexpr size_t kMaxSpecBytes = 65536;  // several paths and names, and no more
constexpr uint32_t kMaxThreads = 4096;

struct FormatRow {
  std::string_view name;
  bool implemented;
};
constexpr std::array kFormats = {
    FormatRow{"gguf", true},
    FormatRow{"awq", false},
    FormatRow{"gptq", false},
};

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

absl::Status CheckFormat(const std::string& format) {
  const auto row = std::ranges::find(kFormats, std::string_view(format), &FormatRow::name);
  if (row == kFormats.end()) {
    return BadField("format", absl::StrCat("found '", format, "', needed gguf, awq or gptq"));
  }
  if (row->implemented) return absl::OkStatus();
  return MakeError(Error::kNotImplemented,
                   absl::StrCat("format '", format, "' is not implemented in this version"),
                   "use format gguf");
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

absl::Status CheckQuantize(const v1::QuantizeSpec& spec) {
  RETURN_IF_ERROR(CheckFormat(spec.format()));
  RETURN_IF_ERROR(CheckPath("model_path", spec.model_path()));
  RETURN_IF_ERROR(CheckText("model_name", spec.model_name()));
  RETURN_IF_ERROR(CheckPath("output_path", spec.output_path()));
  if (absl::EndsWith(spec.output_path(), "/")) {
    return BadField("output_path",
                    absl::StrCat("found '", spec.output_path(), "', needed the name of a file"));
  }
  if (spec.levels_size() != 1) {
    return BadField("levels", absl::StrCat("found ", spec.levels_size(), ", needed exactly one"));
  }
  if (spec.levels(0).empty()) return BadField("levels", "the level is empty");
  RETURN_IF_ERROR(CheckText("levels", spec.levels(0)));
  RETURN_IF_ERROR(CheckText("pre_tokenizer", spec.pre_tokenizer()));
  if (spec.threads() > kMaxThreads) {
    return BadField("threads", absl::StrCat("found ", spec.threads(), ", at most ", kMaxThreads));
  }
  return CheckCheckpoint(spec.checkpoint());
}

}  // namespace

std::vector<std::string_view> AcceptedFormats() {
  std::vector<std::string_view> names;
  for (const FormatRow& row : kFormats) {
    if (row.implemented) names.push_back(row.name);
  }
  return names;
}

absl::Status CheckSubmit(const v1::SubmitJobRequest& request) {
  if (!IsUuid(request.request_id())) {
    return BadField("request_id", absl::StrCat("found '", request.request_id().substr(0, 64),
                                               "', needed a UUID"));
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
