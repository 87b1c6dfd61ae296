// The options of `quantize` about the quality of the result: whether it is measured against the
// source, and how bad it may be.
#pragma once

#include <array>
#include <optional>

#include "absl/status/statusor.h"
#include "client/commands/command.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

inline constexpr std::array kQualityOptions = {
    OptionRow{.name = "--report",
              .help = "Measure the result against its source; write OUTPUT.report.html and .json"},
    OptionRow{.name = "--max-kld",
              .kind = ValueKind::kText,
              .value_name = "X",
              .help = "Fail where the result's mean KL divergence from its source is above X nats"},
    OptionRow{.name = "--report-samples",
              .kind = ValueKind::kCount,
              .value_name = "INT",
              .help = "Held-out samples to measure quality on",
              .default_value = "16"},
};

// Nothing where quality is not to be measured. Errors: kInvalidArgument, naming the option.
absl::StatusOr<std::optional<v1::QualitySpec>> QualitySpecOf(const Values& values);

}  // namespace quantized
