#include "core/pipeline/room.h"

#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

std::string Human(uint64_t bytes) {
  const double value = static_cast<double>(bytes);
  return bytes < 1'000'000'000 ? absl::StrFormat("%.1f MB", value / 1e6)
                               : absl::StrFormat("%.1f GB", value / 1e9);
}

// Bytes that the file already holds on disk; 0 where there is none.
uint64_t AllocatedBytes(const std::filesystem::path& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
}

}  // namespace

absl::Status CheckMemory(const QuantizePlan& plan, size_t threads) {
  const uint64_t needed = PlannedMemoryBytes(plan, threads);
  const uint64_t available = AvailableMemoryBytes();
  if (needed <= available) return absl::OkStatus();
  return MakeError(Error::kOutOfMemory,
                   StrCat("quantizing with ", threads, " threads needs ", Human(needed),
                          " of memory, ", Human(available), " are available"),
                   "Use fewer --threads, or end other programs");
}

absl::Status CheckDisk(const QuantizePlan& plan, const std::filesystem::path& folder,
                       const std::filesystem::path& part_path) {
  ASSIGN_OR_RETURN(const uint64_t free, FreeDiskBytes(folder));
  const uint64_t needed =
      plan.file_size_bytes - std::min(AllocatedBytes(part_path), plan.file_size_bytes);
  if (needed <= free) return absl::OkStatus();
  return MakeError(Error::kDiskFull,
                   StrCat("the output needs ", Human(needed), " (", needed, " bytes) of disk in ",
                          folder.string(), ", ", Human(free), " (", free, " bytes) are free"),
                   "Free some space, or choose another output folder");
}

}  // namespace quantized
