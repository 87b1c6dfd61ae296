#include "client/commands/calibration_options.h"

#include <fmt/format.h>

#include "client/commands/model_argument.h"
#include "client/commands/option_value.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr std::string_view kAuto = "auto";

}  // namespace

absl::StatusOr<v1::CalibrationSpec> CalibrationSpecOf(const Values& values) {
  v1::CalibrationSpec spec;
  if (values.Has("--calibration-data")) {
    const std::string& data = values.Text("--calibration-data");
    if (!Exists(data)) {
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
  spec.set_all_tokens_to_experts(values.Flag("--all-experts"));
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
  options.set_awq_clip(values.Flag("--awq-clip"));
  options.set_asymmetric(values.Flag("--asymmetric"));
  options.set_column_order(values.Text("--act-order"));
  double damping = 0;
  if (!ParseNumber(values.Text("--damping"), damping) || !(damping > 0) || !(damping < 1)) {
    return BadValue("--damping", values.Text("--damping"), "a number between 0 and 1");
  }
  options.set_damping(damping);
  return options;
}

}  // namespace quantized
