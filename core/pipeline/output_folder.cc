#include "core/pipeline/output_folder.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace fs = std::filesystem;

absl::Status OutputIsThere(const fs::path& path) {
  return MakeError(Error::kInvalidArgument,
                   StrCat("the output ", path.string(), " exists already"),
                   "Use --overwrite to replace it, or choose another name");
}

absl::Status MatrixIsThere(const fs::path& path) {
  return MakeError(Error::kInvalidArgument,
                   StrCat("--imatrix-out: ", path.string(), " exists already"),
                   "Give another name, or --overwrite to replace it");
}

fs::path OutputFolder::Existing() const {
  fs::path folder = path_;
  while (!Exists(folder) && folder != folder.parent_path()) {
    folder = folder.parent_path();
  }
  return folder;
}

absl::Status OutputFolder::CheckWritable() const {
  const fs::path existing = Existing();
  std::error_code ignored;
  const int error = !fs::is_directory(existing, ignored)             ? ENOTDIR
                    : ::access(existing.c_str(), W_OK | X_OK) == 0 ? 0
                                                                     : errno;
  return error == 0 ? absl::OkStatus() : ErrnoError(error, "write into", existing.string());
}

absl::Status OutputFolder::Create() {
  const fs::path existing = Existing();
  for (fs::path folder = path_; folder != existing && folder != folder.parent_path();
       folder = folder.parent_path()) {
    created_.push_back(folder);
  }
  return CreateDirectories(path_);
}

void OutputFolder::RemoveCreated() {
  std::error_code error;
  for (const fs::path& folder : created_) {
    fs::remove(folder, error);  // fails where something else is in it
    if (error) break;
  }
}

}  // namespace quantized
