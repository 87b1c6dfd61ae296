#include "daemon/hub/hub_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/ids.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "daemon/hub/blob_digest.h"
#include "daemon/hub/json_text.h"
#include "daemon/hub/retry.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr uint64_t kMaxTreeBytes = 64 << 20;
constexpr int kTreeFormatVersion = 1;
// flock has no deadline of its own.
constexpr std::chrono::milliseconds kLockPoll{50};

bool HasSize(const fs::path& path, uint64_t size_bytes) {
  std::error_code error;
  return fs::is_regular_file(path, error) && fs::file_size(path, error) == size_bytes && !error;
}

constexpr std::string_view kTemporarySuffix = ".tmp";

// A name beside `path` of its own, so that processes do not disturb each other. What was made under
// it and not renamed goes with *this.
class Temporary {
 public:
  explicit Temporary(const fs::path& path)
      : path_(StrCat(path.string(), ".", NewUlid(), kTemporarySuffix)) {}
  ~Temporary() {
    if (renamed_) return;
    ::unlink(path_.c_str());
    ::unlink(StrCat(path_.string(), kTemporarySuffix).c_str());  // WriteFileAtomically's own
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  const fs::path& path() const { return path_; }

  absl::Status Rename(const fs::path& to) {
    RETURN_IF_ERROR(RenameDurably(path_, to));
    renamed_ = true;
    return absl::OkStatus();
  }

 private:
  const fs::path path_;
  bool renamed_ = false;
};

absl::Status Replace(const fs::path& path, std::string_view contents) {
  RETURN_IF_ERROR(CreateDirectories(path.parent_path()));
  Temporary temporary(path);
  RETURN_IF_ERROR(WriteFileAtomically(temporary.path(), contents));
  return temporary.Rename(path);
}

std::optional<RemoteFile> ReadEntry(const std::string& path, const Json& entry) {
  if (!entry.is_object() || !entry.contains("size") || !entry["size"].is_number_unsigned()) {
    return std::nullopt;
  }
  RemoteFile file{.path = path,
                  .size_bytes = entry["size"].get<uint64_t>(),
                  .blob_id = TextOf(entry, "blob_id"),
                  .lfs_sha256 = TextOf(entry, "lfs_sha256")};
  const bool good =
      IsHex(file.blob_id, 40) && (file.lfs_sha256.empty() || IsHex(file.lfs_sha256, 64));
  if (!good) return std::nullopt;
  return file;
}

}  // namespace

fs::path HubCache::RepositoryPath(const HubId& id) const { return root_ / id.FolderName(); }

fs::path HubCache::BlobPath(const HubId& id, std::string_view hash) const {
  return RepositoryPath(id) / "blobs" / hash;
}

fs::path HubCache::SnapshotPath(const HubId& id, std::string_view commit) const {
  return RepositoryPath(id) / "snapshots" / commit;
}

fs::path HubCache::TreePath(const HubId& id, std::string_view commit) const {
  return RepositoryPath(id) / "trees" / StrCat(commit, ".json");
}

fs::path HubCache::LockPath(const HubId& id, std::string_view hash) const {
  return root_ / ".locks" / id.FolderName() / StrCat(hash, ".lock");
}

fs::path HubCache::RepositoryLockPath(const HubId& id) const { return LockPath(id, "repository"); }

absl::Status HubCache::Prepare(const HubId& id) const {
  RETURN_IF_ERROR(CreateDirectories(RepositoryPath(id) / "blobs"));
  return CreateDirectories(root_ / ".locks" / id.FolderName());
}

bool HubCache::Knows(const HubId& id) const {
  for (const std::string_view kept : {"refs", "snapshots"}) {
    std::error_code error;
    if (!fs::is_empty(RepositoryPath(id) / kept, error) && !error) return true;
  }
  return false;
}

std::optional<std::string> HubCache::CommitOf(const HubId& id) const {
  if (IsHex(id.revision, 40)) return id.revision;
  const absl::StatusOr<std::string> text = ReadFile(RepositoryPath(id) / "refs" / id.revision, 100);
  if (!text.ok()) return std::nullopt;
  const std::string commit(absl::StripAsciiWhitespace(*text));
  if (!IsHex(commit, 40)) return std::nullopt;
  return commit;
}

absl::Status HubCache::WriteRef(const HubId& id, std::string_view commit) const {
  if (CommitOf(id) == commit) return absl::OkStatus();
  return Replace(RepositoryPath(id) / "refs" / id.revision, commit);
}

std::optional<std::vector<RemoteFile>> HubCache::ReadTree(const HubId& id,
                                                          std::string_view commit) const {
  const absl::StatusOr<std::string> text = ReadFile(TreePath(id, commit), kMaxTreeBytes);
  if (!text.ok()) return std::nullopt;
  const Json tree = ParseJson(*text);
  if (!tree.is_object() || !tree.contains("files") || !tree["files"].is_object() ||
      !tree.contains("format_version") || tree["format_version"] != kTreeFormatVersion) {
    return std::nullopt;
  }
  std::vector<RemoteFile> files;
  for (const auto& [path, entry] : tree["files"].items()) {
    // huggingface_hub writes all names that the Hub told.
    if (!IsSafeRemotePath(path)) continue;
    std::optional<RemoteFile> file = ReadEntry(path, entry);
    if (!file) return std::nullopt;
    files.push_back(*std::move(file));
  }
  return files;
}

absl::Status HubCache::WriteTree(const HubId& id, const RepositoryInfo& info) const {
  const fs::path path = TreePath(id, info.commit);
  if (Exists(path) && ReadTree(id, info.commit)) return absl::OkStatus();
  Json files = Json::object();
  for (const RemoteFile& file : info.files) {
    Json entry = {{"size", file.size_bytes}, {"blob_id", file.blob_id}};
    if (!file.lfs_sha256.empty()) {
      entry["lfs_sha256"] = file.lfs_sha256;
      entry["lfs_size"] = file.size_bytes;
    }
    files[file.path] = std::move(entry);
  }
  const Json tree = {{"format_version", kTreeFormatVersion}, {"files", std::move(files)}};
  return Replace(path, tree.dump(1));
}

bool HubCache::HasBlob(const HubId& id, const RemoteFile& file) const {
  return HasSize(BlobPath(id, file.hash()), file.size_bytes);
}

bool HubCache::HasFile(const HubId& id, std::string_view commit, const RemoteFile& file) const {
  return HasSize(SnapshotPath(id, commit) / file.path, file.size_bytes);
}

absl::Status HubCache::Link(const HubId& id, std::string_view commit,
                            const RemoteFile& file) const {
  const fs::path link = SnapshotPath(id, commit) / file.path;
  const fs::path target = BlobPath(id, file.hash()).lexically_relative(link.parent_path());
  std::error_code error;
  if (fs::read_symlink(link, error) == target && !error) return absl::OkStatus();
  RETURN_IF_ERROR(CreateDirectories(link.parent_path()));
  Temporary temporary(link);
  if (::symlink(target.c_str(), temporary.path().c_str()) != 0) {
    return ErrnoError(errno, "create link", temporary.path().string());
  }
  return temporary.Rename(link);
}

absl::StatusOr<std::optional<CacheLock>> CacheLock::Try(const fs::path& path) {
  CacheLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664));
  if (lock.fd_ < 0) return ErrnoError(errno, "open", path.string());
  ASSIGN_OR_RETURN(const bool taken, lock.TryFlock(LOCK_EX, path));
  if (!taken) return std::optional<CacheLock>();
  return std::optional<CacheLock>(std::move(lock));
}

absl::StatusOr<CacheLock> CacheLock::Take(const fs::path& path, const std::stop_token& stop) {
  RealWaiter waiter;
  do {
    ASSIGN_OR_RETURN(std::optional<CacheLock> lock, Try(path));
    if (lock) return *std::move(lock);
  } while (waiter.Wait(kLockPoll, stop));
  return DownloadCancelled();
}

absl::StatusOr<CacheLock> CacheLock::TakeShared(const fs::path& path, const std::stop_token& stop) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  CacheLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664));
  if (lock.fd_ < 0) lock.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (lock.fd_ < 0) return lock;
  RealWaiter waiter;
  do {
    ASSIGN_OR_RETURN(const bool taken, lock.TryFlock(LOCK_SH, path));
    if (taken) return lock;
  } while (waiter.Wait(kLockPoll, stop));
  return DownloadCancelled();
}

absl::StatusOr<bool> CacheLock::TryFlock(int kind, const fs::path& path) const {
  if (::flock(fd_, kind | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK || errno == EINTR) return false;
  return ErrnoError(errno, "lock", path.string());
}

CacheLock::CacheLock(CacheLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

CacheLock& CacheLock::operator=(CacheLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

CacheLock::~CacheLock() {
  if (fd_ >= 0) ::close(fd_);
}

bool IsTemporaryName(std::string_view name) {
  if (!name.ends_with(kTemporarySuffix)) return false;
  while (name.ends_with(kTemporarySuffix)) name.remove_suffix(kTemporarySuffix.size());
  const size_t dot = name.rfind('.');
  return dot != std::string_view::npos && IsUlid(name.substr(dot + 1));
}

absl::StatusOr<bool> HasHash(const fs::path& path, std::string_view hash,
                             const std::stop_token& stop) {
  constexpr size_t kPiece = 1 << 20;
  ASSIGN_OR_RETURN(const File file, File::OpenForRead(path));
  ASSIGN_OR_RETURN(const uint64_t size_bytes, file.SizeBytes());
  Digest digest = BlobDigest(hash, size_bytes);
  std::vector<std::byte> piece(kPiece);
  for (uint64_t offset = 0; offset < size_bytes; offset += kPiece) {
    if (stop.stop_requested()) return MakeError(Error::kCancelled, "the check was cancelled");
    const std::span<std::byte> part =
        std::span(piece).first(std::min<uint64_t>(kPiece, size_bytes - offset));
    RETURN_IF_ERROR(file.ReadAt(offset, part));
    digest.Update(part);
  }
  return digest.HexDigest() == hash;
}

}  // namespace quantized
