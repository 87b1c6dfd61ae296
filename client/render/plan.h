// What `quantize-worker plan` tells of a job, in two forms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

struct PlanText {
  std::string human;
  std::string json;
};

// What the worker does not know of a model of the Hub.
struct HubFacts {
  std::string name;
  uint64_t download_bytes = 0;  // what the job will fetch
};

// `plan` is the object that the worker printed (daemon/worker/plan.h); of a model of the Hub it
// gets its name and the key "download_bytes". kInternal when it is no object, lacks a key or has
// one of another type.
absl::StatusOr<PlanText> FormatPlan(std::string_view plan,
                                    const std::optional<HubFacts>& hub = std::nullopt);

// What a plan says of a conversion.
struct ConversionPlan {
  std::string level;     // that is made
  std::string from;      // "gptq 4bit"
  std::string fidelity;  // "exact", "rounded", "requantized"
  std::string why;       // it is not exact
  // The root of |difference of weights|² / |weights|², as wherever JSON has this key of weights.
  double relative_error = 0;
};

// Errors: those of FormatPlan; kInternal for the plan of no conversion.
absl::StatusOr<ConversionPlan> ReadConversionPlan(std::string_view plan);

// "1.8 %" of 0.018.
std::string WeightChangeOf(double relative_error);

}  // namespace quantized
