// A walk between two layers, in a file: what the layers before made of all tokens, and what was
// learned there, so that another process goes on with the next layer.
// Layout: docs/formats/checkpoint.md, "Walks".
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/forward/activation_store.h"
#include "core/pipeline/room.h"

namespace quantized {

// Its name in a checkpoint.
inline constexpr std::string_view kSavedWalkFile = "walk";

struct SavedWalk {
  uint32_t layers_done = 0;
  std::string learned;  // whatever was saved with it
};

// Replaces the file at `path` durably, or leaves it as it was. Errors: kIo, kDiskFull.
absl::Status SaveWalk(const std::filesystem::path& path, const SavedWalk& walk,
                      const ActivationStore& hidden);

// Disk for a walk of such activations, saved time and again at `path`: the file, and the one that
// replaces it; less what is there of an earlier attempt. Without what is learned.
DiskNeeds SavedWalkNeeds(const std::filesystem::path& path, uint64_t rows, uint64_t width);

// Fills `hidden`, which has the size of the saved one. Nothing, and `hidden` as it was, where there
// is no such file, or none that is whole, of this size and of at most `most_layers`. Errors: kIo.
absl::StatusOr<std::optional<SavedWalk>> LoadWalk(const std::filesystem::path& path,
                                                  uint64_t most_layers, ActivationStore& hidden);

}  // namespace quantized
