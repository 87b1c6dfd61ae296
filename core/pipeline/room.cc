#include "core/pipeline/room.h"

#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized {

absl::Status CheckMemory(std::span<const QuantizePlan* const> plans, size_t threads) {
  const uint64_t needed = PlannedMemoryBytes(plans, threads);
  const uint64_t available = AvailableMemoryBytes();
  if (needed <= available) return absl::OkStatus();
  return MakeError(Error::kOutOfMemory,
                   StrCat("quantizing with ", threads, " threads needs ", HumanBytes(needed),
                          " of memory, ", HumanBytes(available), " are available"),
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
