// What `info org/name` needs of a model that is not here: its config.json and the headers of its
// weights, by ranges of bytes. They are laid out as a stand-in for the model's directory, which
// whoever reads headers reads as if it were the model: each file has its name and size, and behind
// its header a hole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/hub/fetch_model.h"
#include "daemon/hub/hub_id.h"

namespace quantized {

struct RemoteHeaders {
  std::string commit;
  // The stand-in's directory, or the GGUF file in it; where a cache has the model, the model.
  std::filesystem::path path;
  size_t files = 0;
  uint64_t size_bytes = 0;     // of the model's files
  uint64_t fetched_bytes = 0;  // over the network
};

// Writes the stand-in into `directory`, which is made. Of a safetensors file that is the length
// that its first 8 bytes tell, 100 MB at most; of a GGUF file, whose header tells no length, its
// first 32 MiB. Errors: those of FetchRepositoryInfo and ChooseModelFiles; kValidationFailed for a
// length that the file does not have and for a text with the wrong hash; kIo.
absl::StatusOr<RemoteHeaders> FetchHeaders(const FetchContext& context, const HubId& id,
                                           const std::filesystem::path& directory);

}  // namespace quantized
