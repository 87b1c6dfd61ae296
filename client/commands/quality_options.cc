#include "client/commands/quality_options.h"

#include <cmath>

#include "client/commands/option_value.h"
#include "core/base/status_macros.h"

namespace quantized {

absl::StatusOr<std::optional<v1::QualitySpec>> QualitySpecOf(const Values& values) {
  if (!values.Flag("--report") && !values.Has("--max-kld")) return std::nullopt;
  v1::QualitySpec spec;
  spec.set_report(values.Flag("--report"));
  if (values.Has("--max-kld")) {
    const std::string& text = values.Text("--max-kld");
    double limit = 0;
    if (!ParseNumber(text, limit) || !std::isfinite(limit) || limit < 0) {
      return BadValue("--max-kld", text, "a number from 0 on");
    }
    spec.set_max_kld(limit);
  }
  ASSIGN_OR_RETURN(const uint32_t samples, CountOf(values, "--report-samples"));
  spec.set_samples(samples);
  return spec;
}

}  // namespace quantized
