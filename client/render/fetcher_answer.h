// What quantize-fetch tells: JSON lines on its stderr while it works, one object on its stdout.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quantized {

// The messages among `lines`, for the person who waits.
std::vector<std::string> FetcherMessages(std::string_view lines);

// The path that `answer` names. kInternal when there is none.
absl::StatusOr<std::string> FetchedPath(std::string_view answer);

}  // namespace quantized
