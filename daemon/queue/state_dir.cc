#include "daemon/queue/state_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

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

absl::StatusOr<StateDir> StateDir::Open(const std::filesystem::path& path,
                                        std::chrono::milliseconds patience) {
  RETURN_IF_ERROR(EnsurePrivateDirectory(path));
  ASSIGN_OR_RETURN(FileLock lock, FileLock::Take(path / "db.lock", patience),
                   << "state folder " << path.string());
  return StateDir(path, std::move(lock));
}

}  // namespace quantized
