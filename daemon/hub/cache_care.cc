#include "daemon/hub/cache_care.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <system_error>

#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

// Folders and files are read as far as they can be: others may change the cache meanwhile.
std::vector<fs::path> EntriesOf(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) entries.push_back(entry.path());
  std::ranges::sort(entries);
  return entries;
}

std::vector<fs::path> FilesBelow(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    std::error_code ignored;
    if (!entry.is_directory(ignored) || entry.is_symlink(ignored)) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

uint64_t SizeOf(const fs::path& path) {
  std::error_code error;
  const uint64_t size_bytes = fs::file_size(path, error);
  return error ? 0 : size_bytes;
}

uint64_t DiskBytesOf(const fs::path& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
}

bool IsBlobName(std::string_view name) { return IsHex(name, 40) || IsHex(name, 64); }

std::vector<HubId> RepositoriesOf(const HubCache& cache) {
  std::vector<HubId> ids;
  for (const fs::path& folder : EntriesOf(cache.root())) {
    if (const auto id = HubId::OfFolderName(folder.filename().string())) ids.push_back(*id);
  }
  return ids;
}

// The names of the refs that hold `commit`.
std::vector<fs::path> RefsTo(const fs::path& repository, std::string_view commit) {
  std::vector<fs::path> refs;
  for (const fs::path& ref : FilesBelow(repository / "refs")) {
    const absl::StatusOr<std::string> text = ReadFile(ref, 100);
    if (text.ok() && text->starts_with(commit)) refs.push_back(ref);
  }
  return refs;
}

CachedSnapshot DescribeSnapshot(const fs::path& repository, const fs::path& folder) {
  CachedSnapshot snapshot{.commit = folder.filename()};
  for (const fs::path& ref : RefsTo(repository, snapshot.commit)) {
    snapshot.revisions.push_back(ref.lexically_relative(repository / "refs"));
  }
  for (const fs::path& file : FilesBelow(folder)) {
    ++snapshot.files;
    snapshot.size_bytes += SizeOf(file);
  }
  std::error_code ignored;
  snapshot.last_used = fs::last_write_time(folder, ignored);
  return snapshot;
}

// The blobs that the snapshots' links lead to, by name.
std::set<std::string> LinkedBlobs(const fs::path& repository) {
  std::set<std::string> linked;
  for (const fs::path& link : FilesBelow(repository / "snapshots")) {
    std::error_code error;
    const fs::path target = fs::read_symlink(link, error);
    if (!error) linked.insert(target.filename());
  }
  return linked;
}

absl::Status RemoveOldSnapshots(const HubCache& cache, const HubId& id,
                                fs::file_time_type oldest_kept, PrunedCache& pruned) {
  const fs::path repository = cache.RepositoryPath(id);
  for (const fs::path& folder : EntriesOf(repository / "snapshots")) {
    std::error_code error;
    if (fs::last_write_time(folder, error) >= oldest_kept || error) continue;
    const std::string commit = folder.filename();
    for (const fs::path& ref : RefsTo(repository, commit)) {
      RETURN_IF_ERROR(RemoveAll(ref));
    }
    RETURN_IF_ERROR(RemoveAll(cache.TreePath(id, commit)));
    RETURN_IF_ERROR(RemoveAll(folder));
    pruned.snapshots.push_back(StrCat(id.name, "@", commit));
  }
  return absl::OkStatus();
}

// HASH, HASH.chunks.incomplete, HASH.chunks.journal, and huggingface_hub's HASH….incomplete.
absl::Status RemoveUnlinkedBlob(const HubCache& cache, const HubId& id, const fs::path& path,
                                PrunedCache& pruned) {
  const std::string name = path.filename();
  const std::string hash = name.substr(0, name.find('.'));
  if (!IsBlobName(hash)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<BlobLock> lock, BlobLock::Try(cache.LockPath(id, hash)));
  // Under the lock nobody makes this blob, and whoever made it has linked it.
  if (!lock || (name == hash && LinkedBlobs(cache.RepositoryPath(id)).contains(hash))) {
    return absl::OkStatus();
  }
  const uint64_t freed_bytes = DiskBytesOf(path);
  RETURN_IF_ERROR(RemoveAll(path));
  ++pruned.files;
  pruned.freed_bytes += freed_bytes;
  return absl::OkStatus();
}

}  // namespace

std::vector<CachedRepository> ListCache(const HubCache& cache) {
  std::vector<CachedRepository> repositories;
  for (const HubId& id : RepositoriesOf(cache)) {
    const fs::path folder = cache.RepositoryPath(id);
    CachedRepository repository{.name = id.name};
    for (const fs::path& snapshot : EntriesOf(folder / "snapshots")) {
      repository.snapshots.push_back(DescribeSnapshot(folder, snapshot));
    }
    for (const fs::path& blob : EntriesOf(folder / "blobs")) {
      if (IsBlobName(blob.filename().string())) {
        repository.size_bytes += SizeOf(blob);
      } else {
        repository.incomplete_bytes += DiskBytesOf(blob);
      }
    }
    repositories.push_back(std::move(repository));
  }
  return repositories;
}

absl::StatusOr<VerifiedCache> VerifyCache(const HubCache& cache, bool remove,
                                          const std::stop_token& stop) {
  VerifiedCache verified;
  for (const HubId& id : RepositoriesOf(cache)) {
    const fs::path repository = cache.RepositoryPath(id);
    for (const fs::path& blob : EntriesOf(repository / "blobs")) {
      const std::string hash = blob.filename();
      std::error_code error;
      if (!IsBlobName(hash) || !fs::exists(blob, error)) continue;
      ++verified.files;
      verified.size_bytes += SizeOf(blob);
      ASSIGN_OR_RETURN(const bool right, HasHash(blob, hash, stop));
      if (right) continue;
      verified.wrong.push_back(blob);
      if (remove) {
        RETURN_IF_ERROR(RemoveAll(blob));
      }
    }
    for (const fs::path& link : FilesBelow(repository / "snapshots")) {
      std::error_code error;
      if (fs::exists(link, error)) continue;
      // A link to a blob that was removed above is part of that finding.
      const fs::path target =
          (link.parent_path() / fs::read_symlink(link, error)).lexically_normal();
      if (std::ranges::find(verified.wrong, target) == verified.wrong.end()) {
        verified.wrong.push_back(link);
      }
      if (remove) {
        RETURN_IF_ERROR(RemoveAll(link));
      }
    }
  }
  return verified;
}

absl::StatusOr<PrunedCache> PruneCache(const HubCache& cache,
                                       std::optional<std::chrono::hours> older_than) {
  PrunedCache pruned;
  for (const HubId& id : RepositoriesOf(cache)) {
    if (older_than) {
      const auto oldest_kept = fs::file_time_type::clock::now() - *older_than;
      RETURN_IF_ERROR(RemoveOldSnapshots(cache, id, oldest_kept, pruned));
    }
    RETURN_IF_ERROR(CreateDirectories(cache.LockPath(id, "").parent_path()));
    const std::set<std::string> linked = LinkedBlobs(cache.RepositoryPath(id));
    for (const fs::path& blob : EntriesOf(cache.RepositoryPath(id) / "blobs")) {
      if (linked.contains(blob.filename().string())) continue;
      RETURN_IF_ERROR(RemoveUnlinkedBlob(cache, id, blob, pruned));
    }
    if (FilesBelow(cache.RepositoryPath(id)).empty()) {
      RETURN_IF_ERROR(RemoveAll(cache.RepositoryPath(id)));
    }
  }
  return pruned;
}

}  // namespace quantized
