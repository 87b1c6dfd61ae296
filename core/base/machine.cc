#include "core/base/machine.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace quantized {
namespace {

// The number behind `key` in a "key:   123 kB" file of /proc, in bytes.
uint64_t ProcKilobytes(const char* path, std::string_view key) {
  std::ifstream in(path);
  std::string word;
  while (in >> word) {
    uint64_t kilobytes = 0;
    if (word == key && in >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

std::optional<uint64_t> ReadNumber(const char* path) {
  std::ifstream in(path);
  uint64_t number = 0;
  if (in >> number) return number;
  return std::nullopt;  // not there, or "max"
}

// cgroup v2 (as a container sees its own), then v1.
std::optional<uint64_t> CgroupHeadroomBytes() {
  for (const auto& [limit_path, used_path] :
       {std::pair{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        std::pair{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
                  "/sys/fs/cgroup/memory/memory.usage_in_bytes"}}) {
    const auto limit = ReadNumber(limit_path), used = ReadNumber(used_path);
    if (limit && used) return *limit > *used ? *limit - *used : 0;
  }
  return std::nullopt;
}

// What the limit of this process's address space (ulimit -v) leaves.
std::optional<uint64_t> AddressSpaceHeadroomBytes() {
  rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  const uint64_t used = ProcKilobytes("/proc/self/status", "VmSize:");
  return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

}  // namespace

uint64_t PeakResidentBytes() { return ProcKilobytes("/proc/self/status", "VmHWM:"); }

uint64_t AvailableMemoryBytes() {
  constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();
  return std::min({ProcKilobytes("/proc/meminfo", "MemAvailable:"),
                   CgroupHeadroomBytes().value_or(kNoLimit),
                   AddressSpaceHeadroomBytes().value_or(kNoLimit)});
}

size_t AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

double ProcessCpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return t.tv_sec + t.tv_usec * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace quantized
