#include "core/pipeline/output_folder.h"

#include <system_error>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace fs = std::filesystem;

absl::Status OutputIsThere(const fs::path& path, std::string_view change) {
  return MakeError(Error::kInvalidArgument,
                   StrCat("the output ", path.string(), " exists already",
                          change.empty() ? "" : ", but is not as it was made: ", change),
                   "Use --overwrite to replace it, or choose another name");
}

absl::Status OutputFolder::Create() {
  const fs::path existing = DeepestExisting(path_);
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
