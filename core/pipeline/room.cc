#include "core/pipeline/room.h"

#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

// Of the file system of a folder that is there; one that cannot be looked at stands for itself, and
// CheckDisk says why.
uint64_t DeviceOf(const std::filesystem::path& folder) {
  struct stat info;
  return ::stat(folder.c_str(), &info) == 0 ? info.st_dev : std::filesystem::hash_value(folder);
}

}  // namespace

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

void DiskNeeds::Add(const std::filesystem::path& folder, uint64_t bytes) {
  const std::filesystem::path existing = DeepestExisting(folder);
  by_device_.try_emplace(DeviceOf(existing), Need{existing}).first->second.bytes += bytes;
}

void DiskNeeds::Add(const DiskNeeds& other) {
  for (const auto& [device, need] : other.by_device_) {
    by_device_.try_emplace(device, Need{need.folder}).first->second.bytes += need.bytes;
  }
}

void DiskNeeds::AddInTurn(const DiskNeeds& other) {
  for (const auto& [device, need] : other.by_device_) {
    uint64_t& bytes = by_device_.try_emplace(device, Need{need.folder}).first->second.bytes;
    bytes = std::max(bytes, need.bytes);
  }
}

uint64_t DiskNeeds::BytesAt(const std::filesystem::path& folder) const {
  const auto found = by_device_.find(DeviceOf(DeepestExisting(folder)));
  return found == by_device_.end() ? 0 : found->second.bytes;
}

absl::Status DiskNeeds::Check() const {
  for (const auto& [device, need] : by_device_) {
    RETURN_IF_ERROR(CheckDisk(need.bytes, need.folder));
  }
  return absl::OkStatus();
}

}  // namespace quantized
