// JSON of calibration data: records in their members' order, one at a time, with bounds on depth
// and counts. Of a name that stands twice in an object the last counts, as Python has it.
#pragma once

#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized {

// `text` is one value. Errors: kValidationFailed, with the line in `text`, when it is not, is
// nested deeper than 64 levels, has more than 2^22 values, or more than 256 members in one object.
absl::StatusOr<nlohmann::ordered_json> ParseRecord(std::string_view text);

// `text` is an array; calls `use` with each of its items, of which only one is held at a time,
// until it fails. Errors: those of `use`; for the text as above, with the bounds for each item.
absl::Status ForEachRecord(std::string_view text,
                           const std::function<absl::Status(const nlohmann::ordered_json&)>& use);

}  // namespace quantized
