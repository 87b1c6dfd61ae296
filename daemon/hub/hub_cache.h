// A cache of models in the layout of huggingface_hub, so that it and we can use each other's:
// docs/formats/hub-cache.md. Paths are made from names that were checked before (ParseHubId,
// IsSafeRemotePath, IsHex). Thread-safe, and safe between processes: files appear whole.
#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/hub/hub_id.h"
#include "daemon/hub/remote_file.h"

namespace quantized {

class HubCache {
 public:
  // `root` is made when something is written.
  explicit HubCache(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path RepositoryPath(const HubId& id) const;
  std::filesystem::path BlobPath(const HubId& id, std::string_view hash) const;
  std::filesystem::path SnapshotPath(const HubId& id, std::string_view commit) const;
  // Of the list of a commit's files.
  std::filesystem::path TreePath(const HubId& id, std::string_view commit) const;
  // huggingface_hub locks the same file.
  std::filesystem::path LockPath(const HubId& id, std::string_view hash) const;
  std::filesystem::path RepositoryLockPath(const HubId& id) const;

  // Makes the folders of `id`.
  absl::Status Prepare(const HubId& id) const;

  // Whether a revision or a snapshot of `id` was ever taken in.
  bool Knows(const HubId& id) const;

  // The commit that the revision of `id` named when it was last asked for; a commit names itself.
  std::optional<std::string> CommitOf(const HubId& id) const;
  absl::Status WriteRef(const HubId& id, std::string_view commit) const;

  // The files of a commit, as the Hub told them, but those without a safe path. nullopt: not there,
  // or not readable.
  std::optional<std::vector<RemoteFile>> ReadTree(const HubId& id, std::string_view commit) const;
  absl::Status WriteTree(const HubId& id, const RepositoryInfo& info) const;

  // Whether the blob of `file` is there, of the right size.
  bool HasBlob(const HubId& id, const RemoteFile& file) const;
  // Whether the snapshot has `file`, of the right size.
  bool HasFile(const HubId& id, std::string_view commit, const RemoteFile& file) const;
  // Makes snapshots/COMMIT/PATH a relative link to the blob.
  absl::Status Link(const HubId& id, std::string_view commit, const RemoteFile& file) const;

 private:
  std::filesystem::path root_;
};

// A right among all processes, by flock: to make one blob (HubCache::LockPath); shared by many, to
// rely on what a repository holds, or for one alone, to remove of it (RepositoryLockPath).
// Move-only.
class CacheLock {
 public:
  // Empty when somebody else has it.
  static absl::StatusOr<std::optional<CacheLock>> Try(const std::filesystem::path& path);
  // Waits for it. kCancelled when stopped.
  static absl::StatusOr<CacheLock> Take(const std::filesystem::path& path,
                                        const std::stop_token& stop);
  // Waits while somebody has it alone. Makes the folder of `path`; where that may not be written,
  // the lock is one of nothing: a cache that is whole may be read-only. kCancelled when stopped.
  static absl::StatusOr<CacheLock> TakeShared(const std::filesystem::path& path,
                                              const std::stop_token& stop);
  CacheLock(CacheLock&& other) noexcept;
  CacheLock& operator=(CacheLock&& other) noexcept;
  ~CacheLock();

 private:
  explicit CacheLock(int fd) : fd_(fd) {}
  absl::StatusOr<bool> TryFlock(int kind, const std::filesystem::path& path) const;
  int fd_;
};

// Whether `name` is one of those under which files and links are made, beside the names they then
// get: in refs, snapshots and trees only a process that was killed leaves one.
bool IsTemporaryName(std::string_view name);

// Whether the bytes of the file at `path` have `hash`, a SHA-256 or a git blob's SHA-1, by its
// length. Errors: kIo, kModelNotFound; kCancelled when stopped.
absl::StatusOr<bool> HasHash(const std::filesystem::path& path, std::string_view hash,
                             const std::stop_token& stop);

}  // namespace quantized
