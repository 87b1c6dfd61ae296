// The folder that a daemon keeps all it knows in, and the lock that makes it the only one there:
//
//   STATE_DIR/quantized.db        the store (store.h)
//            /db.lock             held with flock for the daemon's life; names its pid
//            /logs/JOB/ATTEMPT.log
//            /daemon.log
//            /cache/importance/    matrices that workers measured
#pragma once

#include <chrono>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/queue/file_lock.h"

namespace quantized {

// A folder of mode 0700 that belongs to this user: made, with its parents, if it is not there.
// Errors: kIo when it belongs to another user, or others may enter it.
absl::Status EnsurePrivateDirectory(const std::filesystem::path& path);

// Move-only; the destructor gives the lock back.
class StateDir {
 public:
  // Waits up to `patience` for the lock: a daemon that is stopping still holds it. Errors: kIo as
  // above, and when another daemon keeps the lock (the message names its pid).
  static absl::StatusOr<StateDir> Open(const std::filesystem::path& path,
                                       std::chrono::milliseconds patience);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path store_path() const { return path_ / "quantized.db"; }
  std::filesystem::path logs_path() const { return path_ / "logs"; }
  std::filesystem::path cache_path() const { return path_ / "cache"; }

 private:
  StateDir(std::filesystem::path path, FileLock lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  FileLock lock_;
};

}  // namespace quantized
