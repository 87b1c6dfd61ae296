// The right to listen on a unix socket path. Another daemon may have left the socket behind, so the
// file alone means nothing: only the holder of PATH.lock removes and makes it.
#pragma once

#include <chrono>
#include <filesystem>

#include "absl/status/statusor.h"
#include "daemon/queue/file_lock.h"

namespace quantized {

// Move-only; the destructor removes the socket and gives the right back.
class SocketClaim {
 public:
  // Makes the socket's folder (0700) if need be, and removes a stale socket. Errors: kIo when the
  // folder is not ours alone, when another daemon listens there, or when something that is no
  // socket has the name; kInvalidArgument when the path does not fit a socket address.
  static absl::StatusOr<SocketClaim> Take(const std::filesystem::path& path,
                                          std::chrono::milliseconds patience);
  SocketClaim(SocketClaim&& other) = default;
  ~SocketClaim();

  const std::filesystem::path& path() const { return path_; }

 private:
  SocketClaim(std::filesystem::path path, FileLock lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;  // empty: moved from
  FileLock lock_;
};

}  // namespace quantized
