#include "daemon/queue/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace quantized {

absl::Status EnsurePrivateDirectory(const std::filesystem::path& path) {
  if (!path.is_absolute()) {
    return MakeError(Error::kInvalidArgument,
                     absl::StrCat("folder ", path.string(), ": must be an absolute path"));
  }
  RETURN_IF_ERROR(CreateDirectories(path, 0700));
  struct stat found;
  if (stat(path.c_str(), &found) != 0) return ErrnoError(errno, "examine", path.string());
  if (found.st_uid != geteuid()) {
    return MakeError(Error::kIo, absl::StrCat("folder ", path.string(), ": belongs to user ",
                                              found.st_uid, ", needed ", geteuid()));
  }
  if ((found.st_mode & 077) != 0) {
    return MakeError(Error::kIo,
                     absl::StrCat("folder ", path.string(), ": other users may enter it (mode ",
                                  absl::StrFormat("%04o", found.st_mode & 07777), ")"),
                     absl::StrCat("chmod 700 ", path.string()));
  }
  return absl::OkStatus();
}

absl::StatusOr<StateDir> StateDir::Open(const std::filesystem::path& path) {
  RETURN_IF_ERROR(EnsurePrivateDirectory(path));
  const std::filesystem::path lock_path = path / "db.lock";
  const int fd = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoError(errno, "open", lock_path.string());
  StateDir state_dir(path, fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoError(errno, "lock", lock_path.string());
    char pid[32] = {};
    const ssize_t length = pread(fd, pid, sizeof pid - 1, 0);
    const std::string holder(absl::StripAsciiWhitespace(length > 0 ? pid : "unknown"));
    return MakeError(Error::kIo, absl::StrCat("state folder ", path.string(),
                                              " is in use by another daemon (pid ", holder, ")"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return ErrnoError(errno, "write", lock_path.string());
  }
  return state_dir;
}

StateDir::StateDir(StateDir&& other) noexcept
    : path_(std::move(other.path_)), lock_fd_(std::exchange(other.lock_fd_, -1)) {}

StateDir::~StateDir() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

}  // namespace quantized
