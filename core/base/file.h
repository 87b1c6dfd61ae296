// Files and folders, with errors that name the path. All paths are taken as they are (no shell
// expansion). Functions are thread-safe unless two of them change the same path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quantized {

// An open file descriptor. Move-only; the destructor closes it (use Close() to learn of an error).
// ReadAt and WriteAt take absolute offsets and may be called from several threads at once.
class File {
 public:
  // Errors: kModelNotFound when there is no such file, kIo otherwise.
  static absl::StatusOr<File> OpenForRead(const std::filesystem::path& path);
  // Opens for reading and writing; creates the file (mode 0666 & ~umask) when it is not there.
  static absl::StatusOr<File> OpenForWrite(const std::filesystem::path& path);
  // As OpenForWrite, but fails with kIo when the file is already there.
  static absl::StatusOr<File> CreateExclusive(const std::filesystem::path& path);

  File() = default;
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  int fd() const { return fd_; }
  const std::filesystem::path& path() const { return path_; }

  absl::StatusOr<uint64_t> SizeBytes() const;
  // Fills `out` wholly. A file that ends before is kValidationFailed: "PATH: ends at …, needed …".
  absl::Status ReadAt(uint64_t offset, std::span<std::byte> out) const;
  absl::Status WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  // Makes the file `size_bytes` long and claims the space, so that a full disk shows now.
  absl::Status Allocate(uint64_t size_bytes);
  absl::Status Truncate(uint64_t size_bytes);
  // fsync.
  absl::Status Sync();
  absl::Status Close();

 private:
  File(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
  static absl::StatusOr<File> Open(const std::filesystem::path& path, int flags);

  int fd_ = -1;
  std::filesystem::path path_;
};

// The whole file. Larger than `max_bytes` is kValidationFailed.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, uint64_t max_bytes);

// Writes PATH.tmp, fsyncs it, renames it over `path` and fsyncs the folder.
absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view contents);

// Whether something is at `path`; what cannot be looked at counts as nothing.
bool Exists(const std::filesystem::path& path);

// `path`, or the deepest folder on the way to it that is there.
std::filesystem::path DeepestExisting(const std::filesystem::path& path);

// Whether `folder` can be made and files in it. Errors: kIo, naming what is in the way.
absl::Status CheckWritable(const std::filesystem::path& folder);

absl::Status SyncDirectory(const std::filesystem::path& path);

// Renames and fsyncs the folder of `to`. `from` and `to` lie on one file system.
absl::Status RenameDurably(const std::filesystem::path& from, const std::filesystem::path& to);

// mkdir -p. `mode` is for the folders that are made.
absl::Status CreateDirectories(const std::filesystem::path& path, unsigned mode = 0777);

// Removes a file, or a folder with all in it. Nothing there is no error.
absl::Status RemoveAll(const std::filesystem::path& path);

// Bytes that an unprivileged writer can still claim on the file system that holds `path`, which
// must exist.
absl::StatusOr<uint64_t> FreeDiskBytes(const std::filesystem::path& path);

}  // namespace quantized
