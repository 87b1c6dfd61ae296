// A folder for as long as it is needed: made under the system's folder for temporary files, removed
// with all that is in it.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace quantized {

class TempFolder {
 public:
  // `purpose` begins its name: "quantize-worker". Errors: kIo, kDiskFull.
  static absl::StatusOr<std::unique_ptr<TempFolder>> Create(std::string_view purpose);
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TempFolder(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path path_;
};

}  // namespace quantized
