#include "core/pipeline/importance_cache.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/part_file.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxMatrixBytes = uint64_t{1} << 30;  // of all together
constexpr std::chrono::days kMaxWalkAge{7};
constexpr std::chrono::days kPatience{30};

// A walk, or what a job that died while it wrote one or another file left of it: nothing that
// another job needs, however long it takes.
bool IsOfAWalk(const fs::path& path) {
  return path.extension() == ".walk" || path.extension() == ".tmp" ||
         path.filename().string().starts_with("activations-");
}

// Removes walks that nobody came back to, and the matrices that were not used for the longest time.
void Prune(const fs::path& folder) {
  struct Kept {
    fs::file_time_type used;
    uint64_t bytes;
    fs::path path;
  };
  std::vector<Kept> matrices;
  uint64_t total = 0;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const fs::file_time_type used = entry.last_write_time(ignored);
    if (entry.path().extension() == ".gguf") {
      matrices.push_back({used, entry.file_size(ignored), entry.path()});
      total += matrices.back().bytes;
    } else if (IsOfAWalk(entry.path()) && used + kMaxWalkAge < fs::file_time_type::clock::now()) {
      fs::remove(entry.path(), ignored);
    }
  }
  std::ranges::sort(matrices, {}, &Kept::used);
  for (const Kept& one : matrices) {
    if (total <= kMaxMatrixBytes) break;
    fs::remove(one.path, ignored);
    total -= one.bytes;
  }
}

}  // namespace

absl::StatusOr<ImportanceCache> ImportanceCache::Open(const fs::path& cache_directory,
                                                      const std::string& key, JobContext& context) {
  if (cache_directory.empty()) return ImportanceCache("", key, context);
  ImportanceCache cache(cache_directory / "importance", key, context);
  RETURN_IF_ERROR(CreateDirectories(cache.folder_, 0700));
  const fs::path lock = cache.Path(".lock");
  absl::StatusOr<File> held = OpenLocked(lock, context, std::chrono::milliseconds(0));
  if (!held.ok() && ErrorOf(held.status()) == Error::kIo) {
    context.progress.OnMessage("Waiting for another job that measures this importance matrix");
    held = OpenLocked(lock, context, kPatience);
  }
  RETURN_IF_ERROR(held.status());
  cache.lock_ = *std::move(held);
  return cache;
}

ImportanceCache::~ImportanceCache() {
  if (lock_.fd() >= 0) RemoveAll(lock_.path()).IgnoreError();
}

fs::path ImportanceCache::Path(std::string_view suffix) const {
  return folder_.empty() ? fs::path() : folder_ / StrCat(key_, suffix);
}

std::optional<ImportanceFile> ImportanceCache::Find() {
  const fs::path path = Path(".gguf");
  if (folder_.empty() || !Exists(path)) return std::nullopt;
  absl::StatusOr<ImportanceFile> file = OpenImportanceFile(path);
  if (!file.ok()) {
    context_->progress.OnWarning(
        StrCat("the cached importance matrix is damaged and is measured again: ",
               file.status().message()));
    return std::nullopt;
  }
  std::error_code error;
  fs::last_write_time(path, fs::file_time_type::clock::now(), error);
  // A job may have died between keeping the matrix and removing its walk.
  RemoveAll(snapshot_path()).IgnoreError();
  return *std::move(file);
}

absl::Status ImportanceCache::Keep(const ImportanceFile& file) {
  if (folder_.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string bytes, ImportanceGguf(file));
  RETURN_IF_ERROR(WriteFileAtomically(Path(".gguf"), bytes));
  Prune(folder_);
  return RemoveAll(snapshot_path());
}

}  // namespace quantized
