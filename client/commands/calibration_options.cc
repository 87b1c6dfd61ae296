#include "client/commands/calibration_options.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "client/commands/model_argument.h"
#include "client/commands/number.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr uint64_t kMaxCount = 1 << 20;  // samples, tokens of a sample, channels of a group
constexpr std::string_view kAuto = "auto";

absl::Status BadValue(std::string_view option, std::string_view value, std::string_view needed) {
  return MakeError(Error::kInvalidArgument,
                   fmt::format("option '{}': '{}' is not {}", option, value, needed));
}

absl::StatusOr<uint32_t> CountOf(const Values& values, std::string_view option) {
  const uint64_t count = values.Count(option);
  if (count > kMaxCount) {
    return BadValue(option, values.Text(option), fmt::format("a whole number up to {}", kMaxCount));
  }
  return static_cast<uint32_t>(count);
}

}  // namespace

absl::StatusOr<v1::CalibrationSpec> CalibrationSpecOf(const Values& values) {
  v1::CalibrationSpec spec;
  if (values.Has("--calibration-data")) {
    const std::string& data = values.Text("--calibration-data");
    std::error_code error;
    if (!std::filesystem::exists(data, error)) {
      return MakeError(Error::kInvalidArgument,
                       fmt::format("option '--calibration-data': '{}' does not exist", data));
    }
    spec.set_data_path(AbsolutePath(data));
    spec.set_data_name(data);
  }
  ASSIGN_OR_RETURN(const uint32_t samples, CountOf(values, "--calibration-samples"));
  ASSIGN_OR_RETURN(const uint32_t length, CountOf(values, "--sequence-length"));
  uint64_t seed = 0;
  if (!ParseNumber(values.Text("--seed"), seed)) {
    return BadValue("--seed", values.Text("--seed"), "a whole number");
  }
  spec.set_samples(samples);
  spec.set_sequence_length(length);
  spec.set_seed(seed);
  return spec;
}

absl::StatusOr<v1::PackedOptions> PackedOptionsOf(const Values& values) {
  v1::PackedOptions options;
  const std::string& group_size = values.Text("--group-size");
  int64_t size = 0;
  if (group_size != kAuto) {
    const bool known = ParseNumber(group_size, size) &&
                       (size == -1 || (size > 0 && size <= static_cast<int64_t>(kMaxCount)));
    if (!known) {
      return BadValue("--group-size", group_size,
                      "a whole number above 0, -1 (a row is one group) or auto");
    }
  }
  options.set_group_size(size);
  options.set_asymmetric(values.Flag("--asymmetric"));
  options.set_column_order(values.Text("--act-order"));
  double damping = 0;
  if (!ParseNumber(values.Text("--damping"), damping) || !(damping > 0) || !(damping < 1)) {
    return BadValue("--damping", values.Text("--damping"), "a number between 0 and 1");
  }
  options.set_damping(damping);
  options.set_all_tokens_to_experts(values.Flag("--all-experts"));
  return options;
}

}  // namespace quantized
