// Where measured importance matrices are kept, so that a second level and a second user do not pay
// for one again: a folder with a file for each, under the SHA-256 of all that decides it.
//
//   CACHE/importance/KEY.gguf   the matrix (docs/formats/imatrix.md)
//                   /KEY.walk   how far measuring it is (docs/formats/checkpoint.md, "Walks")
//                   /KEY.lock   held with flock by the job that measures it
//
// Files that nobody used for long go when there are too many.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/calibrate/importance_file.h"

namespace quantized {

// One entry of the cache. Move-only; the destructor gives the lock back.
class ImportanceCache {
 public:
  // Waits until no other job measures the matrix of `key`. Without a folder (empty) nothing is
  // kept. Errors: kIo, kCancelled.
  static absl::StatusOr<ImportanceCache> Open(const std::filesystem::path& cache_directory,
                                              const std::string& key, JobContext& context);
  ImportanceCache(ImportanceCache&&) = default;
  ~ImportanceCache();

  // The matrix, where it is there; one that is damaged counts as none, with a warning.
  std::optional<ImportanceFile> Find();
  // Both are empty where nothing is kept.
  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path snapshot_path() const { return Path(".walk"); }
  // Errors: kIo, kDiskFull.
  absl::Status Keep(const ImportanceFile& file);

 private:
  ImportanceCache(std::filesystem::path folder, std::string key, JobContext& context)
      : folder_(std::move(folder)), key_(std::move(key)), context_(&context) {}
  std::filesystem::path Path(std::string_view suffix) const;

  std::filesystem::path folder_;
  std::string key_;
  JobContext* context_;
  File lock_;
};

}  // namespace quantized
