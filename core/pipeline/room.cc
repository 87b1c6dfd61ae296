#include "core/pipeline/room.h"

#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized {

absl::Status CheckMemory(uint64_t needed_bytes, std::string_view what,
                         std::string_view suggestion) {
  const uint64_t available_bytes = AvailableMemoryBytes();
  if (needed_bytes <= available_bytes) return absl::OkStatus();
  return MakeError(Error::kOutOfMemory,
                   StrCat(what, " needs ", HumanBytes(needed_bytes), " of memory, ",
                          HumanBytes(available_bytes), " are available"),
                   suggestion);
}

absl::Status CheckThreadsMemory(uint64_t needed_bytes, std::string_view what, size_t threads) {
  return CheckMemory(needed_bytes, StrCat(what, " with ", threads, " threads"),
                     "Use fewer --threads, or end other programs");
}

absl::Status CheckDisk(uint64_t needed_bytes, const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const uint64_t free, FreeDiskBytes(folder));
  if (needed_bytes <= free) return absl::OkStatus();
  return MakeError(Error::kDiskFull,
                   StrCat("the output needs ", HumanBytes(needed_bytes), " (", needed_bytes,
                          " bytes) of disk in ", folder.string(), ", ", HumanBytes(free), " (",
                          free, " bytes) are free"),
                   "Free some space, or choose another output folder");
}

}  // namespace quantized
