#include "daemon/queue/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"

namespace quantized {
namespace {

// flock has no deadline of its own.
constexpr std::chrono::milliseconds kPoll{20};

std::string Holder(int fd) {
  char text[32] = {};
  const ssize_t size = pread(fd, text, sizeof text - 1, 0);
  return size > 0 ? std::string(absl::StripAsciiWhitespace(text)) : "unknown";
}

}  // namespace

absl::StatusOr<FileLock> FileLock::Take(const std::filesystem::path& path,
                                        std::chrono::milliseconds patience) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoError(errno, "open", path.string());
  FileLock lock(fd);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoError(errno, "lock", path.string());
    if (std::chrono::steady_clock::now() >= deadline) {
      return MakeError(Error::kIo, absl::StrCat("in use by another daemon (pid ", Holder(fd), ")"));
    }
    std::this_thread::sleep_for(kPoll);
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return ErrnoError(errno, "write", path.string());
  }
  return lock;
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock::~FileLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace quantized
