#include "core/pipeline/part_file.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPause(20);

// Whether `file` is what lies at its path: the holder that we waited for may have renamed or
// removed it.
bool IsAtItsPath(const File& file) {
  struct stat opened, named;
  return ::fstat(file.fd(), &opened) == 0 && ::stat(file.path().c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

std::filesystem::path PartPath(const std::filesystem::path& output_path) {
  return output_path.string() + ".part";
}

absl::StatusOr<File> OpenLocked(const std::filesystem::path& path, const JobContext& context,
                                std::chrono::milliseconds patience) {
  const Clock::time_point deadline = Clock::now() + patience;
  while (true) {
    ASSIGN_OR_RETURN(File file, File::OpenForWrite(path));
    while (::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoError(errno, "lock", path.string());
      RETURN_IF_ERROR(context.CheckStopped());
      if (Clock::now() >= deadline) {
        return MakeError(Error::kIo,
                         StrCat(path.string(), ": another process is writing this output"),
                         "Wait for the other job, or give this one another output name");
      }
      std::this_thread::sleep_for(kPause);
    }
    if (IsAtItsPath(file)) return file;
  }
}

uint64_t MissingBytes(const std::filesystem::path& path, uint64_t size_bytes) {
  struct stat info;
  const uint64_t held_bytes =
      ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
  return size_bytes - std::min(held_bytes, size_bytes);
}

}  // namespace quantized
