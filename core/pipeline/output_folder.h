// The folder that an output goes to: made where it is missing, removed again where nothing came of
// the job.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace quantized {

// kInvalidArgument: something that may not be replaced has the output's name. `change`, if any, is
// why it does not do, although the same job made it.
absl::Status OutputIsThere(const std::filesystem::path& path, std::string_view change = {});

class OutputFolder {
 public:
  explicit OutputFolder(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  // mkdir -p, remembering what was made.
  absl::Status Create();
  // Removes the folders that Create made, as far as they are empty.
  void RemoveCreated();

 private:
  std::filesystem::path path_;
  std::vector<std::filesystem::path> created_;  // deepest first
};

}  // namespace quantized
