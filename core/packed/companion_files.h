// The files that go with a model's weights and that a quantized checkpoint takes over as they are:
// tokenizer, chat templates, generation settings, processors, licence, code that the configuration
// names. Copied, never run. config.json and README.md are written anew
// (checkpoint_config.h, model_card.h).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/sha256.h"

namespace quantized {

// Those of `directory`, as paths relative to it, sorted. Never weights, their indices, hidden files
// or what no rule names. Code files are those that an `auto_map` names and those that they import
// from beside them; names that would lead elsewhere are left out. Errors: kIo; kValidationFailed
// for a configuration or code file that is too large or no JSON.
absl::StatusOr<std::vector<std::string>> CompanionFiles(const std::filesystem::path& directory);

// Copies `files` from `source` to `target`, which exists: each by write, fsync, rename. A file that
// is there is replaced. Errors: kModelNotFound, kIo, kDiskFull; kValidationFailed for a file of
// more than 1 GiB.
absl::Status CopyFiles(const std::filesystem::path& source, const std::filesystem::path& target,
                       const std::vector<std::string>& files);

// Feeds names, sizes and contents of `files` of `directory`. Errors: those of ReadFile.
absl::Status HashFiles(const std::filesystem::path& directory,
                       const std::vector<std::string>& files, Sha256& hash);

}  // namespace quantized
