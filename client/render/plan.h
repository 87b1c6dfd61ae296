// What `quantize-worker plan` tells of a job, in two forms.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

struct PlanText {
  std::string human;
  std::string json;
};

// `plan` is the object that the worker printed (daemon/worker/plan.h). kInternal when it is no
// object, lacks a key or has one of another type.
absl::StatusOr<PlanText> FormatPlan(std::string_view plan);

}  // namespace quantized
