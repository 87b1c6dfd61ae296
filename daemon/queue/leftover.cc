#include "daemon/queue/leftover.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/error.h"

namespace quantized {
namespace {

// What stands between the command's closing bracket and field 22 of /proc/PID/stat: state is field
// 3. The command itself may hold blanks and brackets, so the last bracket counts.
constexpr size_t kStateField = 3;
constexpr size_t kStartTimeField = 22;

}  // namespace

std::string BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::optional<uint64_t> ProcessStartTicks(int64_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  const std::string stat{std::istreambuf_iterator<char>(file), {}};
  const size_t bracket = stat.rfind(')');
  if (bracket == std::string::npos) return std::nullopt;
  const std::vector<std::string> fields =
      absl::StrSplit(stat.substr(bracket + 1), ' ', absl::SkipEmpty());
  const size_t index = kStartTimeField - kStateField;
  uint64_t ticks = 0;
  if (fields.size() <= index || !absl::SimpleAtoi(fields[index], &ticks)) return std::nullopt;
  return ticks;
}

absl::Status EndLeftoverProcess(int64_t pid, uint64_t start_ticks,
                                std::chrono::milliseconds patience) {
  // The descriptor names the process from here on; its start time is read after it was opened, so
  // what is killed is what was compared.
  const int process = static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0));
  if (process < 0) {
    if (errno == ESRCH || errno == EINVAL) return absl::OkStatus();
    return ErrnoError(errno, "examine process", absl::StrCat(pid));
  }
  absl::Status status;
  if (ProcessStartTicks(pid) == start_ticks) {
    if (syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
      status = ErrnoError(errno, "kill worker process", absl::StrCat(pid));
    } else {
      pollfd gone{.fd = process, .events = POLLIN, .revents = 0};
      if (poll(&gone, 1, static_cast<int>(patience.count())) != 1) {
        status =
            MakeError(Error::kInternal, absl::StrCat("worker process ", pid,
                                                     " of an earlier daemon is still "
                                                     "there ",
                                                     patience.count(), " ms after it was killed"));
      }
    }
  }
  close(process);
  return status;
}

}  // namespace quantized
