#include "client/rpc/user_folders.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

// sun_path takes 107; the rest is left to names that the daemon may put beside its socket.
constexpr size_t kLongestSocketPath = 100;

bool IsOwnFolder(const std::filesystem::path& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid();
}

std::filesystem::path HomeFolder(const Environment& environment) {
  const std::string_view home = Lookup(environment, "HOME");
  if (home.starts_with('/')) return home;
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found);
  return found == nullptr ? "" : found->pw_dir;
}

}  // namespace

absl::StatusOr<UserFolders> FindUserFolders(const Environment& environment) {
  UserFolders folders;
  const std::string_view state_home = Lookup(environment, "XDG_STATE_HOME");
  if (state_home.starts_with('/')) {
    folders.state_dir = std::filesystem::path(state_home) / "llm-quantize";
  } else if (const auto home = HomeFolder(environment); !home.empty()) {
    folders.state_dir = home / ".local/state/llm-quantize";
  } else {
    return MakeError(Error::kDaemonUnavailable, "neither XDG_STATE_HOME nor a home folder is known",
                     "Set HOME, or name a daemon with --host");
  }

  const std::string fallback = fmt::format("/tmp/quantized-{}", geteuid());
  const std::string_view runtime_dir = Lookup(environment, "XDG_RUNTIME_DIR");
  // Under sudo the variable may name the folder of another user.
  const bool usable = runtime_dir.starts_with('/') && IsOwnFolder(runtime_dir);
  folders.socket_dir =
      usable ? std::filesystem::path(runtime_dir) / "quantized" : std::filesystem::path(fallback);
  if (const std::string socket = folders.socket(); socket.size() > kLongestSocketPath) {
    folders.socket_dir = fallback + "-" + Sha256Hex(socket).substr(0, 16);
  }
  return folders;
}

absl::Status CheckPrivateFolder(const std::filesystem::path& dir) {
  const std::string suggestion =
      fmt::format("Remove {} or point XDG_RUNTIME_DIR to a folder of your own", dir.native());
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat info {};
  const bool known = fd >= 0 && fstat(fd, &info) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!known) {
    return MakeError(
        Error::kDaemonUnavailable,
        fmt::format("socket folder {}: {}", dir.native(),
                    error == ENOTDIR || error == ELOOP ? "not a folder" : std::strerror(error)),
        suggestion);
  }
  if (info.st_uid != geteuid()) {
    return MakeError(Error::kDaemonUnavailable,
                     fmt::format("socket folder {} belongs to user {}, expected {}", dir.native(),
                                 info.st_uid, geteuid()),
                     suggestion);
  }
  if ((info.st_mode & 077) != 0) {
    return MakeError(Error::kDaemonUnavailable,
                     fmt::format("socket folder {} has mode {:04o}, expected 0700", dir.native(),
                                 info.st_mode & 07777),
                     suggestion);
  }
  return absl::OkStatus();
}

absl::Status PrepareUserFolders(const UserFolders& folders) {
  RETURN_IF_ERROR(CreateDirectories(folders.state_dir, 0700));
  RETURN_IF_ERROR(CreateDirectories(folders.socket_dir.parent_path(), 0700));
  if (mkdir(folders.socket_dir.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoError(errno, "create folder", folders.socket_dir.native());
  }
  return CheckPrivateFolder(folders.socket_dir);
}

}  // namespace quantized
