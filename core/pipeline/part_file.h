// OUTPUT.part, where an output's bytes are until it is published. Whoever writes it holds a lock
// (flock) on it, so that an attempt that is dying cannot mix its bytes with those of the next one.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/job_context.h"

namespace quantized {

// Longer than a killed process takes to end.
inline constexpr std::chrono::milliseconds kLockPatience(10000);

std::filesystem::path PartPath(const std::filesystem::path& output_path);

// Opens (creating it, contents left as they are) and locks `path` until the File is closed or the
// process ends. Waits up to `patience` for another holder to go. Errors: kIo, also where the holder
// stays; kCancelled.
absl::StatusOr<File> OpenLocked(const std::filesystem::path& path, const JobContext& context,
                                std::chrono::milliseconds patience = kLockPatience);

// Bytes of disk that a part of `size_bytes` is still to claim: what the file at `path` does not
// hold.
uint64_t MissingBytes(const std::filesystem::path& path, uint64_t size_bytes);

}  // namespace quantized
