// Whether memory and disk suffice, asked before any work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string_view>

#include "absl/status/status.h"

namespace quantized {

// Whether the machine has `needed_bytes` of memory to give for `what` ("quantizing MODEL"). Errors:
// kOutOfMemory, naming what is needed and what is available, with `suggestion`.
absl::Status CheckMemory(uint64_t needed_bytes, std::string_view what, std::string_view suggestion);

// What is done by so many threads, which each need a share of the memory; `what`: "quantizing".
absl::Status CheckThreadsMemory(uint64_t needed_bytes, std::string_view what, size_t threads);

// Whether the file system of `folder`, which is there, has `needed_bytes` to give. Errors:
// kDiskFull, naming what is needed and what is free; kIo.
absl::Status CheckDisk(uint64_t needed_bytes, const std::filesystem::path& folder);

// What a job needs of disk in several folders, added up by file system: each folder by itself may
// have room where all together have not.
class DiskNeeds {
 public:
  // `folder` need not be there yet: its file system is that of the deepest folder on the way to it
  // that is.
  void Add(const std::filesystem::path& folder, uint64_t bytes);
  // What is needed beside it.
  void Add(const DiskNeeds& other);
  // What is needed before or after it, not at the same time: the larger counts.
  void AddInTurn(const DiskNeeds& other);

  // On the file system of `folder`.
  uint64_t BytesAt(const std::filesystem::path& folder) const;
  // Errors: those of CheckDisk.
  absl::Status Check() const;

 private:
  struct Need {
    std::filesystem::path folder;  // the first that was added
    uint64_t bytes = 0;
  };
  std::map<uint64_t, Need> by_device_;
};

}  // namespace quantized
