// The daemon of one user, which his clients start when it is not there and which ends by itself
// when it has nothing to do. Whoever starts it holds a lock on a file of the state folder, so that
// many clients at once make one daemon; the others wait until they can connect. Thread-safe; the
// lock is between processes.
#pragma once

#include <chrono>
#include <filesystem>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "client/rpc/user_folders.h"

namespace quantized {

struct EmbeddedDaemonOptions {
  std::filesystem::path program;  // `quantized`
  UserFolders folders;
  // How long a starting daemon may take until it says READY.
  std::chrono::milliseconds ready_timeout{10'000};
  // How long to wait for another client that is starting it.
  std::chrono::milliseconds lock_timeout{60'000};
};

struct EmbeddedDaemon {
  std::filesystem::path socket;
  bool started = false;  // by this call
};

// The daemon of this user that already accepts connections. kDaemonUnavailable when there is none.
absl::StatusOr<EmbeddedDaemon> FindEmbeddedDaemon(const UserFolders& folders);

// The same, started if need be: `program --embedded --socket S --state-dir D --ready-fd N`, in a
// session of its own, with its output in a log file. Errors: kDaemonUnavailable with the daemon's
// own reason when it does not get ready; kCancelled when `stop` is requested.
absl::StatusOr<EmbeddedDaemon> EnsureEmbeddedDaemon(const EmbeddedDaemonOptions& options,
                                                    std::stop_token stop);

}  // namespace quantized
