#include "daemon/queue/attempt_log.h"

#include <algorithm>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

// When the folder, or a file in it, was last written to.
fs::file_time_type LastWrite(const fs::path& directory) {
  std::error_code error;
  fs::file_time_type newest = fs::last_write_time(directory, error);
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    const fs::file_time_type written = it->last_write_time(gone);
    if (!gone) newest = std::max(newest, written);
  }
  return newest;
}

}  // namespace

fs::path AttemptLogPath(const fs::path& logs_dir, const std::string& job_id, int attempt) {
  return logs_dir / job_id / absl::StrCat(attempt, ".log");
}

absl::Status RemoveOldLogs(const fs::path& logs_dir, std::chrono::hours age) {
  std::error_code error;
  std::vector<fs::path> old;
  const fs::file_time_type limit = fs::file_time_type::clock::now() - age;
  for (fs::directory_iterator it(logs_dir, error), end; !error && it != end; it.increment(error)) {
    if (LastWrite(it->path()) < limit) old.push_back(it->path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoError(error.value(), "list", logs_dir.string());
  }
  for (const fs::path& directory : old) RETURN_IF_ERROR(RemoveAll(directory));
  return absl::OkStatus();
}

}  // namespace quantized
