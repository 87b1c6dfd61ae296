// Whether memory and disk suffice for a plan, asked before any work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "absl/status/status.h"
#include "core/pipeline/plan.h"

namespace quantized {

// For the plans of one pass. Errors: kOutOfMemory, naming what is needed and what is available.
absl::Status CheckMemory(std::span<const QuantizePlan* const> plans, size_t threads);

// Whether the file system of `folder`, which is there, has `needed_bytes` to give. Errors:
// kDiskFull, naming what is needed and what is free; kIo.
absl::Status CheckDisk(uint64_t needed_bytes, const std::filesystem::path& folder);

}  // namespace quantized
