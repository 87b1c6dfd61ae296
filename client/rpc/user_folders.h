// The folders and files of one user's embedded daemon.
//   state folder    $XDG_STATE_HOME/llm-quantize, else ~/.local/state/llm-quantize: store, locks,
//   logs socket folder   $XDG_RUNTIME_DIR/quantized, else /tmp/quantized-UID; it may vanish at
//   logout
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/environment.h"

namespace quantized {

struct UserFolders {
  std::filesystem::path state_dir;
  std::filesystem::path socket_dir;

  std::filesystem::path socket() const { return socket_dir / "quantized.sock"; }
  // Held (flock) by the client that starts the daemon.
  std::filesystem::path lock() const { return state_dir / "daemon.lock"; }
  // Names the socket of the daemon that was started last: a session with another XDG_RUNTIME_DIR
  // (cron, sudo, a second login) finds the same daemon through it.
  std::filesystem::path socket_record() const { return state_dir / "daemon.socket"; }
  // The daemon's stdout and stderr, and so its log.
  std::filesystem::path log() const { return state_dir / "daemon.log"; }
};

// Only computes names. A socket path longer than 100 bytes would not fit Linux's socket address;
// the socket then lies in /tmp/quantized-UID-HASH. Errors: kDaemonUnavailable when there is no
// home.
absl::StatusOr<UserFolders> FindUserFolders(const Environment& environment);

// Makes both folders (0700). Errors: kDaemonUnavailable when the socket folder is a symbolic link,
// belongs to another user or is open to others; kIo, kDiskFull.
absl::Status PrepareUserFolders(const UserFolders& folders);

// OK when `dir` is a real folder of this user that nobody else may enter. Errors:
// kDaemonUnavailable.
absl::Status CheckPrivateFolder(const std::filesystem::path& dir);

}  // namespace quantized
