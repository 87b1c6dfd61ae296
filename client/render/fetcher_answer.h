// What quantize-fetch tells: JSON lines on its stderr while it works, one object on its stdout.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

// The message in `line`, for the person who waits; empty where it is another event.
std::string FetcherMessage(std::string_view line);

// What `quantize-fetch pin` tells: a model for a job, and the token that is to go with it.
struct PinnedModel {
  v1::HubModel model;
  std::string token;  // a secret; empty: none
};
// kInternal where something is missing.
absl::StatusOr<PinnedModel> ParsePinnedModel(std::string_view answer);

// What `quantize-fetch headers` tells.
struct FetchedHeaders {
  std::string path;            // what stands for the model's directory
  uint64_t missing_bytes = 0;  // of the model, which no cache has
};
// kInternal when there is no path.
absl::StatusOr<FetchedHeaders> ParseFetchedHeaders(std::string_view answer);

}  // namespace quantized
