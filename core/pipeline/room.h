// Whether memory and disk suffice for a plan, asked before any work.
#pragma once

#include <cstddef>
#include <filesystem>

#include "absl/status/status.h"
#include "core/pipeline/plan.h"

namespace quantized {

// Errors: kOutOfMemory, naming what is needed and what is available.
absl::Status CheckMemory(const QuantizePlan& plan, size_t threads);

// Whether `part_path` can grow to the plan's size. `folder` is there and on the file system that it
// lies or will lie on. Errors: kDiskFull, naming what is needed and what is free; kIo.
absl::Status CheckDisk(const QuantizePlan& plan, const std::filesystem::path& folder,
                       const std::filesystem::path& part_path);

}  // namespace quantized
