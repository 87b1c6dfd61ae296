// The options of `quantize` about calibration: the text that awq, gptq and the measuring of an
// importance matrix run on, and how awq and gptq use it. What can be
// refused without a model is refused here; what the values mean is core's to say
// (core/pipeline/quantize.h).
#pragma once

#include <array>

#include "absl/status/statusor.h"
#include "client/commands/command.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

inline constexpr std::array<std::string_view, 4> kColumnOrders = {"none", "group", "static",
                                                                  "full"};

// Those that the contract does not have; it has --calibration-data, --calibration-samples and
// --group-size.
inline constexpr std::array kCalibrationOptions = {
    OptionRow{.name = "--sequence-length",
              .kind = ValueKind::kCount,
              .value_name = "INT",
              .help = "Tokens in a calibration sample",
              .default_value = "512"},
    OptionRow{.name = "--seed",
              .kind = ValueKind::kText,
              .value_name = "INT",
              .help = "Decides the order of calibration documents",
              .default_value = "0"},
    OptionRow{.name = "--awq-clip",
              .help = "awq: nearest codes in clipped ranges, as published, in place of GPTQ's"},
    OptionRow{.name = "--asymmetric",
              .help = "gptq: zero points of their own (vLLM does not load such)"},
    OptionRow{.name = "--act-order",
              .kind = ValueKind::kChoice,
              .value_name = "TEXT",
              .help = "gptq: order of columns: none, group, static, full",
              .default_value = "group",
              .choices = kColumnOrders},
    OptionRow{.name = "--damping",
              .kind = ValueKind::kText,
              .value_name = "X",
              .help = "gptq: share of the mean diagonal that is added to it",
              .default_value = "0.01"},
    OptionRow{.name = "--all-experts",
              .help = "Calibrate each expert with all tokens, not with those routed to it"},
};

// Errors: kInvalidArgument, naming the option.
absl::StatusOr<v1::CalibrationSpec> CalibrationSpecOf(const Values& values);
absl::StatusOr<v1::PackedOptions> PackedOptionsOf(const Values& values);

}  // namespace quantized
