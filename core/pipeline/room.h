// Whether memory and disk suffice, asked before any work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
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

}  // namespace quantized
