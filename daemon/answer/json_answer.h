// How a program that was asked one question answers (`quantize-worker inspect`, `quantize-fetch
// resolve`): one JSON object on standard output; where that fails, the contract's error object.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"

namespace quantized {

// Prints what `ask` gives; memory that runs out is kOutOfMemory. Text that came from outside is
// made printable in the error object. Returns the exit code.
int PrintAnswer(const std::function<absl::StatusOr<nlohmann::ordered_json>()>& ask);

}  // namespace quantized
