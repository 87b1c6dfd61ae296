#include "core/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

// Linux transfers at most this many bytes in one call.
constexpr size_t kMaxTransferBytes = 1u << 30;

}  // namespace

absl::StatusOr<File> File::Open(const std::filesystem::path& path, int flags) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EINTR);
  if (fd >= 0) return File(fd, path);
  if (errno == ENOENT && (flags & O_CREAT) == 0) {
    return MakeError(Error::kModelNotFound, absl::StrCat(path.string(), ": no such file"));
  }
  return ErrnoError(errno, "open", path.string());
}

absl::StatusOr<File> File::OpenForRead(const std::filesystem::path& path) {
  return Open(path, O_RDONLY);
}

absl::StatusOr<File> File::OpenForWrite(const std::filesystem::path& path) {
  return Open(path, O_RDWR | O_CREAT);
}

absl::StatusOr<File> File::CreateExclusive(const std::filesystem::path& path) {
  return Open(path, O_RDWR | O_CREAT | O_EXCL);
}

File::File(File&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = std::exchange(other.fd_, -1);
    path_ = std::move(other.path_);
  }
  return *this;
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

absl::StatusOr<uint64_t> File::SizeBytes() const {
  struct stat info;
  if (::fstat(fd_, &info) != 0) return ErrnoError(errno, "stat", path_.string());
  return static_cast<uint64_t>(info.st_size);
}

absl::Status File::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(fd_, out.data() + done, std::min(out.size() - done, kMaxTransferBytes),
                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read", path_.string());
    if (got == 0) {
      return MakeError(Error::kValidationFailed,
                       absl::StrCat(path_.string(), ": file ends at byte ", offset + done,
                                    ", needed up to byte ", offset + out.size()));
    }
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::Status File::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put =
        ::pwrite(fd_, bytes.data() + done, std::min(bytes.size() - done, kMaxTransferBytes),
                 static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoError(errno, "write", path_.string());
    done += static_cast<size_t>(put);
  }
  return absl::OkStatus();
}

absl::Status File::Allocate(uint64_t size_bytes) {
  RETURN_IF_ERROR(Truncate(size_bytes));
  if (size_bytes == 0) return absl::OkStatus();
  int result;
  do {
    result = ::fallocate(fd_, 0, 0, static_cast<off_t>(size_bytes)) == 0 ? 0 : errno;
  } while (result == EINTR);
  // A file system without preallocation still works: a full disk then shows at the write.
  if (result == 0 || result == EOPNOTSUPP || result == ENOSYS) return absl::OkStatus();
  return ErrnoError(result, "reserve space for", path_.string());
}

absl::Status File::Truncate(uint64_t size_bytes) {
  if (::ftruncate(fd_, static_cast<off_t>(size_bytes)) != 0) {
    return ErrnoError(errno, "resize", path_.string());
  }
  return absl::OkStatus();
}

absl::Status File::Sync() {
  if (::fsync(fd_) != 0) return ErrnoError(errno, "sync", path_.string());
  return absl::OkStatus();
}

absl::Status File::Close() {
  if (fd_ >= 0 && ::close(std::exchange(fd_, -1)) != 0) {
    return ErrnoError(errno, "close", path_.string());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, uint64_t max_bytes) {
  ASSIGN_OR_RETURN(const File file, File::OpenForRead(path));
  ASSIGN_OR_RETURN(const uint64_t size_bytes, file.SizeBytes());
  if (size_bytes > max_bytes) {
    return MakeError(Error::kValidationFailed,
                     absl::StrCat(path.string(), ": ", size_bytes, " bytes, at most ", max_bytes,
                                  " are accepted"));
  }
  std::string contents(size_bytes, '\0');
  RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(contents))));
  return contents;
}

absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view contents) {
  std::filesystem::path temporary = path;
  temporary += ".tmp";
  ASSIGN_OR_RETURN(File file, File::OpenForWrite(temporary));
  RETURN_IF_ERROR(file.Truncate(0));
  RETURN_IF_ERROR(file.WriteAt(0, std::as_bytes(std::span(contents))));
  RETURN_IF_ERROR(file.Sync());
  RETURN_IF_ERROR(file.Close());
  return RenameDurably(temporary, path);
}

bool Exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

std::filesystem::path DeepestExisting(const std::filesystem::path& path) {
  std::filesystem::path existing = path;
  while (!Exists(existing) && existing != existing.parent_path()) existing = existing.parent_path();
  return existing;
}

absl::Status CheckWritable(const std::filesystem::path& folder) {
  const std::filesystem::path existing = DeepestExisting(folder);
  const auto in_the_way = [&](int error) {
    return ErrnoError(error, "write into", existing.string());
  };
  std::error_code ignored;
  if (!std::filesystem::is_directory(existing, ignored)) return in_the_way(ENOTDIR);
  return ::access(existing.c_str(), W_OK | X_OK) == 0 ? absl::OkStatus() : in_the_way(errno);
}

absl::Status SyncDirectory(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.empty() ? std::filesystem::path(".") : path;
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open folder", folder.string());
  const int result = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  // Some file systems have nothing to sync for a folder and say so.
  if (result != 0 && result != EINVAL) return ErrnoError(result, "sync folder", folder.string());
  return absl::OkStatus();
}

absl::Status RenameDurably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return ErrnoError(errno, absl::StrCat("rename ", from.string(), " to"), to.string());
  }
  return SyncDirectory(to.parent_path());
}

absl::Status CreateDirectories(const std::filesystem::path& path, unsigned mode) {
  if (path.empty()) return absl::OkStatus();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return absl::OkStatus();
  if (path.has_relative_path() && path.parent_path() != path) {
    RETURN_IF_ERROR(CreateDirectories(path.parent_path(), mode));
  }
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return ErrnoError(errno, "create folder", path.string());
  }
  if (!std::filesystem::is_directory(path, ignored)) {
    return ErrnoError(ENOTDIR, "create folder", path.string());
  }
  return absl::OkStatus();
}

absl::Status RemoveAll(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return ErrnoError(error.value(), "remove", path.string());
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> FreeDiskBytes(const std::filesystem::path& path) {
  struct statvfs info;
  if (::statvfs(path.c_str(), &info) != 0) {
    return ErrnoError(errno, "read free space of", path.string());
  }
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace quantized
