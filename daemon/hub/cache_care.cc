#include "daemon/hub/cache_care.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <system_error>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

bool IsGone(const std::error_code& error) {
  return error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory;
}

absl::Status CannotRead(const fs::path& path, const std::error_code& error) {
  return ErrnoError(error.value(), "read", path.string());
}

// What is in `folder`, by name; nothing where there is no such folder: others may change the cache
// meanwhile. Errors: kIo for a folder that cannot be read to its end.
absl::StatusOr<std::vector<fs::path>> EntriesOf(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    entries.push_back(it->path());
  }
  if (error && !IsGone(error)) return CannotRead(folder, error);
  std::ranges::sort(entries);
  return entries;
}

// All below `folder` that is no folder. Errors: those of EntriesOf.
absl::StatusOr<std::vector<fs::path>> AllBelow(const fs::path& folder) {
  std::vector<fs::path> files, folders = {folder};
  while (!folders.empty()) {
    const fs::path next = std::move(folders.back());
    folders.pop_back();
    ASSIGN_OR_RETURN(const std::vector<fs::path> entries, EntriesOf(next));
    for (const fs::path& entry : entries) {
      std::error_code error;
      const fs::file_status status = fs::symlink_status(entry, error);
      if (status.type() == fs::file_type::not_found) continue;
      if (status.type() == fs::file_type::none) return CannotRead(entry, error);
      (fs::is_directory(status) ? folders : files).push_back(entry);
    }
  }
  std::ranges::sort(files);
  return files;
}

bool IsLeftover(const fs::path& path) { return IsTemporaryName(path.filename().string()); }

// AllBelow, but what a killed process left half made.
absl::StatusOr<std::vector<fs::path>> FilesBelow(const fs::path& folder) {
  ASSIGN_OR_RETURN(std::vector<fs::path> files, AllBelow(folder));
  std::erase_if(files, IsLeftover);
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

absl::StatusOr<std::vector<HubId>> RepositoriesOf(const HubCache& cache) {
  std::vector<HubId> ids;
  ASSIGN_OR_RETURN(const std::vector<fs::path> folders, EntriesOf(cache.root()));
  for (const fs::path& folder : folders) {
    if (const auto id = HubId::OfFolderName(folder.filename().string())) ids.push_back(*id);
  }
  return ids;
}

// The names of the refs that hold `commit`.
absl::StatusOr<std::vector<fs::path>> RefsTo(const fs::path& repository, std::string_view commit) {
  std::vector<fs::path> refs;
  ASSIGN_OR_RETURN(const std::vector<fs::path> all, FilesBelow(repository / "refs"));
  for (const fs::path& ref : all) {
    const absl::StatusOr<std::string> text = ReadFile(ref, 100);
    if (!text.ok() && ErrorOf(text.status()) == Error::kIo) return text.status();
    if (text.ok() && text->starts_with(commit)) refs.push_back(ref);
  }
  return refs;
}

absl::StatusOr<CachedSnapshot> DescribeSnapshot(const fs::path& repository,
                                                const fs::path& folder) {
  CachedSnapshot snapshot{.commit = folder.filename()};
  ASSIGN_OR_RETURN(const std::vector<fs::path> refs, RefsTo(repository, snapshot.commit));
  for (const fs::path& ref : refs) {
    snapshot.revisions.push_back(ref.lexically_relative(repository / "refs"));
  }
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, FilesBelow(folder));
  for (const fs::path& file : files) {
    ++snapshot.files;
    snapshot.size_bytes += SizeOf(file);
  }
  std::error_code ignored;
  snapshot.last_used = fs::last_write_time(folder, ignored);
  return snapshot;
}

absl::StatusOr<CachedRepository> DescribeRepository(const HubCache& cache, const HubId& id) {
  const fs::path folder = cache.RepositoryPath(id);
  CachedRepository repository{.name = id.name};
  ASSIGN_OR_RETURN(const std::vector<fs::path> snapshots, EntriesOf(folder / "snapshots"));
  for (const fs::path& snapshot : snapshots) {
    ASSIGN_OR_RETURN(CachedSnapshot described, DescribeSnapshot(folder, snapshot));
    repository.snapshots.push_back(std::move(described));
  }
  ASSIGN_OR_RETURN(const std::vector<fs::path> blobs, EntriesOf(folder / "blobs"));
  for (const fs::path& blob : blobs) {
    if (IsBlobName(blob.filename().string())) {
      repository.size_bytes += SizeOf(blob);
    } else {
      repository.incomplete_bytes += DiskBytesOf(blob);
    }
  }
  return repository;
}

// Checks one repository's blobs and links.
class RepositoryCheck {
 public:
  RepositoryCheck(const fs::path& repository, bool remove, VerifiedCache& verified)
      : repository_(repository), remove_(remove), verified_(verified) {}

  absl::Status CheckBlobs(const std::stop_token& stop) {
    for (const fs::path& blob : Listed(EntriesOf(repository_ / "blobs"), "blobs")) {
      const std::string hash = blob.filename();
      if (!IsBlobName(hash) || IsMissing(blob)) continue;
      ++verified_.files;
      verified_.size_bytes += SizeOf(blob);
      const absl::StatusOr<bool> right = HasHash(blob, hash, stop);
      if (!right.ok() && ErrorOf(right.status()) == Error::kCancelled) return right.status();
      if (!right.ok()) {
        if (!IsMissing(blob)) verified_.unreadable.push_back(blob);
      } else if (!*right) {
        RETURN_IF_ERROR(Wrong(blob));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckLinks() {
    for (const fs::path& link : Listed(FilesBelow(repository_ / "snapshots"), "snapshots")) {
      if (!IsMissing(link)) continue;
      // A link to a blob that was removed before is part of that finding.
      std::error_code error;
      const fs::path target =
          (link.parent_path() / fs::read_symlink(link, error)).lexically_normal();
      if (std::ranges::find(verified_.wrong, target) == verified_.wrong.end()) {
        RETURN_IF_ERROR(Wrong(link));
      } else if (remove_) {
        RETURN_IF_ERROR(RemoveAll(link));
      }
    }
    return absl::OkStatus();
  }

 private:
  // A folder that cannot be read is a finding, too.
  std::vector<fs::path> Listed(absl::StatusOr<std::vector<fs::path>> paths, const char* folder) {
    if (paths.ok()) return *std::move(paths);
    verified_.unreadable.push_back(repository_ / folder);
    return {};
  }

  // Whether `path`, or what it links to, is certainly not there.
  static bool IsMissing(const fs::path& path) {
    std::error_code error;
    return fs::status(path, error).type() == fs::file_type::not_found;
  }

  absl::Status Wrong(const fs::path& path) {
    verified_.wrong.push_back(path);
    return remove_ ? RemoveAll(path) : absl::OkStatus();
  }

  const fs::path repository_;
  const bool remove_;
  VerifiedCache& verified_;
};

// The blobs that the snapshots' links lead to, by name.
absl::StatusOr<std::set<std::string>> LinkedBlobs(const fs::path& repository) {
  std::set<std::string> linked;
  ASSIGN_OR_RETURN(const std::vector<fs::path> links, FilesBelow(repository / "snapshots"));
  for (const fs::path& link : links) {
    std::error_code error;
    const fs::path target = fs::read_symlink(link, error);
    const bool is_no_link = error == std::errc::invalid_argument;
    if (error && !is_no_link && !IsGone(error)) return CannotRead(link, error);
    if (!error) linked.insert(target.filename());
  }
  return linked;
}

absl::Status RemoveOldSnapshots(const HubCache& cache, const HubId& id,
                                fs::file_time_type oldest_kept, PrunedCache& pruned) {
  const fs::path repository = cache.RepositoryPath(id);
  ASSIGN_OR_RETURN(const std::vector<fs::path> snapshots, EntriesOf(repository / "snapshots"));
  for (const fs::path& folder : snapshots) {
    std::error_code error;
    if (fs::last_write_time(folder, error) >= oldest_kept || error) continue;
    const std::string commit = folder.filename();
    ASSIGN_OR_RETURN(const std::vector<fs::path> refs, RefsTo(repository, commit));
    for (const fs::path& ref : refs) {
      RETURN_IF_ERROR(RemoveAll(ref));
    }
    RETURN_IF_ERROR(RemoveAll(cache.TreePath(id, commit)));
    RETURN_IF_ERROR(RemoveAll(folder));
    pruned.snapshots.push_back(StrCat(id.name, "@", commit));
  }
  return absl::OkStatus();
}

absl::Status RemoveFile(const fs::path& path, PrunedCache& pruned) {
  const uint64_t freed_bytes = DiskBytesOf(path);
  RETURN_IF_ERROR(RemoveAll(path));
  ++pruned.files;
  pruned.freed_bytes += freed_bytes;
  return absl::OkStatus();
}

// To be called with the repository alone: then nobody is making one.
absl::Status RemoveLeftovers(const fs::path& repository, PrunedCache& pruned) {
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, AllBelow(repository));
  for (const fs::path& file : files) {
    if (!IsLeftover(file)) continue;
    // The time of a snapshot's folder is when it was last used.
    std::error_code error;
    const fs::file_time_type last_used = fs::last_write_time(file.parent_path(), error);
    RETURN_IF_ERROR(RemoveFile(file, pruned));
    if (!error) fs::last_write_time(file.parent_path(), last_used, error);
  }
  return absl::OkStatus();
}

// HASH, HASH.chunks.incomplete, HASH.chunks.journal, and huggingface_hub's HASH….incomplete.
absl::Status RemoveUnlinkedBlob(const HubCache& cache, const HubId& id, const fs::path& path,
                                PrunedCache& pruned) {
  const std::string name = path.filename();
  const std::string hash = name.substr(0, name.find('.'));
  if (!IsBlobName(hash)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<CacheLock> lock, CacheLock::Try(cache.LockPath(id, hash)));
  if (!lock) return absl::OkStatus();
  // Under the lock nobody makes this blob, and whoever made it has linked it.
  if (name == hash) {
    ASSIGN_OR_RETURN(const std::set<std::string> linked, LinkedBlobs(cache.RepositoryPath(id)));
    if (linked.contains(hash)) return absl::OkStatus();
  }
  return RemoveFile(path, pruned);
}

// Whether all that decides what can go can be read.
absl::Status ReadWholly(const fs::path& repository) {
  RETURN_IF_ERROR(LinkedBlobs(repository).status());
  RETURN_IF_ERROR(RefsTo(repository, "no commit").status());
  return FilesBelow(repository).status();
}

absl::Status PruneRepository(const HubCache& cache, const HubId& id,
                             std::optional<std::chrono::hours> older_than, PrunedCache& pruned) {
  const fs::path repository = cache.RepositoryPath(id);
  const fs::path lock_path = cache.RepositoryLockPath(id);
  RETURN_IF_ERROR(CreateDirectories(lock_path.parent_path()));
  ASSIGN_OR_RETURN(const std::optional<CacheLock> lock, CacheLock::Try(lock_path));
  if (!lock) {
    pruned.skipped.push_back(StrCat(id.name, ": it is being fetched"));
    return absl::OkStatus();
  }
  if (const absl::Status readable = ReadWholly(repository); !readable.ok()) {
    pruned.skipped.push_back(StrCat(id.name, ": ", readable.message()));
    return absl::OkStatus();
  }
  if (older_than) {
    const auto oldest_kept = fs::file_time_type::clock::now() - *older_than;
    RETURN_IF_ERROR(RemoveOldSnapshots(cache, id, oldest_kept, pruned));
  }
  RETURN_IF_ERROR(RemoveLeftovers(repository, pruned));
  ASSIGN_OR_RETURN(const std::set<std::string> linked, LinkedBlobs(repository));
  ASSIGN_OR_RETURN(const std::vector<fs::path> blobs, EntriesOf(repository / "blobs"));
  for (const fs::path& blob : blobs) {
    if (linked.contains(blob.filename().string())) continue;
    RETURN_IF_ERROR(RemoveUnlinkedBlob(cache, id, blob, pruned));
  }
  ASSIGN_OR_RETURN(const std::vector<fs::path> left, FilesBelow(repository));
  return left.empty() ? RemoveAll(repository) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<CachedRepository>> ListCache(const HubCache& cache) {
  std::vector<CachedRepository> repositories;
  ASSIGN_OR_RETURN(const std::vector<HubId> ids, RepositoriesOf(cache));
  for (const HubId& id : ids) {
    ASSIGN_OR_RETURN(CachedRepository repository, DescribeRepository(cache, id));
    repositories.push_back(std::move(repository));
  }
  return repositories;
}

absl::StatusOr<VerifiedCache> VerifyCache(const HubCache& cache, bool remove,
                                          const std::stop_token& stop) {
  VerifiedCache verified;
  ASSIGN_OR_RETURN(const std::vector<HubId> ids, RepositoriesOf(cache));
  for (const HubId& id : ids) {
    RepositoryCheck check(cache.RepositoryPath(id), remove, verified);
    RETURN_IF_ERROR(check.CheckBlobs(stop));
    RETURN_IF_ERROR(check.CheckLinks());
  }
  return verified;
}

absl::StatusOr<PrunedCache> PruneCache(const HubCache& cache,
                                       std::optional<std::chrono::hours> older_than) {
  PrunedCache pruned;
  ASSIGN_OR_RETURN(const std::vector<HubId> ids, RepositoriesOf(cache));
  for (const HubId& id : ids) {
    RETURN_IF_ERROR(PruneRepository(cache, id, older_than, pruned));
  }
  return pruned;
}

}  // namespace quantized
