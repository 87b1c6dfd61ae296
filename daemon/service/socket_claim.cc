#include "daemon/service/socket_claim.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "daemon/queue/state_dir.h"

namespace quantized {
namespace {

absl::Status RemoveStaleSocket(const std::filesystem::path& path) {
  struct stat found;
  if (lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoError(errno, "examine", path.string());
  }
  if (!S_ISSOCK(found.st_mode)) {
    return MakeError(Error::kIo,
                     absl::StrCat("socket ", path.string(), ": something else has this name"));
  }
  return unlink(path.c_str()) == 0 ? absl::OkStatus() : ErrnoError(errno, "remove", path.string());
}

}  // namespace

absl::StatusOr<SocketClaim> SocketClaim::Take(const std::filesystem::path& path,
                                              std::chrono::milliseconds patience) {
  constexpr size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;
  if (path.string().size() > kLongest) {
    return MakeError(Error::kInvalidArgument,
                     absl::StrCat("socket ", path.string(), ": found ", path.string().size(),
                                  " bytes, at most ", kLongest, " are possible"));
  }
  RETURN_IF_ERROR(EnsurePrivateDirectory(path.parent_path())) << "socket " << path.string();
  ASSIGN_OR_RETURN(FileLock lock, FileLock::Take(path.string() + ".lock", patience),
                   << "socket " << path.string());
  RETURN_IF_ERROR(RemoveStaleSocket(path));
  return SocketClaim(path, std::move(lock));
}

SocketClaim::~SocketClaim() {
  if (!path_.empty()) unlink(path_.c_str());
}

}  // namespace quantized
