// The error of a failed job or call, as the daemon tells it, back to the status it was made from.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "quantized/v1/error.pb.h"

namespace quantized {

// The status that `detail` tells of, with its suggestion and log tail. Never OK.
absl::Status StatusOf(const v1::ErrorDetail& detail);

// The last lines of the log of the attempt that failed; empty where there are none.
std::string LogTailOf(const absl::Status& status);

}  // namespace quantized
