// What `info org/name` needs of a model that is not here: its config.json and the headers of its
// weights, by ranges of bytes. They are laid out as a stand-in for the model's directory, which
// whoever reads headers reads as if it were the model: each file has its name and size, and behind
// its header a hole.
#pragma once

#include <filesystem>

#include "absl/status/statusor.h"
#include "daemon/hub/fetch_model.h"
#include "daemon/hub/hub_id.h"

namespace quantized {

// Which texts come with the headers: what a look at the model reads, or all, tokenizer included,
// which planning a job reads.
enum class Texts { kFew, kAll };

// Writes the stand-in into `directory`, which is made: the result's path; where a cache has the
// model, that is the model. `files` counts what the stand-in has, `size_bytes` is the model's. Of a
// safetensors file that is the length that its first 8 bytes tell, 100 MB at most; of a GGUF file,
// whose header tells no length, what its parts tell of theirs, 64 MiB at most. Errors: those of
// FetchRepositoryInfo and ChooseModelFiles; kValidationFailed for a length that the file does not
// have and for a text with the wrong hash; kIo.
absl::StatusOr<FetchedModel> FetchHeaders(const FetchContext& context, const HubId& id, Texts texts,
                                          const std::filesystem::path& directory);

// The commit that `id` names now, for a job that will fetch it (FetchPinnedModel). What cannot be
// loaded and who may not read it shows here already. Errors: those of FetchHeaders.
absl::StatusOr<std::string> PinModel(const FetchContext& context, const HubId& id);

}  // namespace quantized
