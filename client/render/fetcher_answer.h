// What quantize-fetch tells: JSON lines on its stderr while it works, one object on its stdout.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

// The messages among `lines`, for the person who waits.
std::vector<std::string> FetcherMessages(std::string_view lines);

// What `quantize-fetch pin` tells: a model for a job, and the token that is to go with it.
struct PinnedModel {
  v1::HubModel model;
  std::string token;  // a secret; empty: none
};
// kInternal where something is missing.
absl::StatusOr<PinnedModel> ParsePinnedModel(std::string_view answer);

// The path that `answer` names. kInternal when there is none.
absl::StatusOr<std::string> FetchedPath(std::string_view answer);

}  // namespace quantized
