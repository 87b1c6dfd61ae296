// What tells two states of a model's data file apart without reading the data.
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "core/base/sha256.h"
#include "core/tensor/byte_source.h"

namespace quantized {

// Feeds size and modification time of the file at `path`, which `bytes` reads, and its first
// `header_bytes` bytes to `hash`. Not its name: a copy under another one is the same model. Errors:
// kIo, kValidationFailed where the file has shrunk.
absl::Status FingerprintFile(const std::filesystem::path& path, const ByteSource& bytes,
                             uint64_t header_bytes, Sha256& hash);

}  // namespace quantized
