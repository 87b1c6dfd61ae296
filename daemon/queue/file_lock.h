// A file that says who has the right to something, for as long as a process lives: flock, which the
// kernel gives back however the process ends. The file names the holder's pid and is never removed.
#pragma once

#include <chrono>
#include <filesystem>

#include "absl/status/statusor.h"

namespace quantized {

// Move-only; the destructor gives the lock back.
class FileLock {
 public:
  // Creates the file (0600) if need be and waits up to `patience` for the lock. Errors: kIo, also
  // when somebody else keeps it; the message then names the holder's pid.
  static absl::StatusOr<FileLock> Take(const std::filesystem::path& path,
                                       std::chrono::milliseconds patience);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace quantized
