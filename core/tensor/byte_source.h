// Bytes with random access, from which the parsers of model files read: a file in production,
// memory in tests and fuzzing. Nothing is mapped: a model's pages must not count as the worker's
// memory, and a file that shrinks must be an error, not a SIGBUS. Thread-safe: any thread may call
// const methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/sha256.h"

namespace quantized {

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // What messages call it: the file's name without its folder.
  virtual const std::string& name() const = 0;
  // Fixed when the source is opened.
  virtual uint64_t size_bytes() const = 0;
  // Fills `out` wholly. Errors: kIo; kValidationFailed where the bytes end before.
  virtual absl::Status ReadAt(uint64_t offset, std::span<std::byte> out) const = 0;
};

// Errors: kModelNotFound when there is no such file, kIo otherwise (a folder too).
absl::StatusOr<std::unique_ptr<ByteSource>> OpenFileBytes(const std::filesystem::path& path);

// `bytes` must outlive the source.
std::unique_ptr<ByteSource> MemoryBytes(std::string_view name, std::span<const std::byte> bytes);

// Whether the source is not a model file but the small text that git-lfs puts in its place.
absl::StatusOr<bool> IsGitLfsPointer(const ByteSource& source);

// The error for such a file; `wanted` is what should be there: "a GGUF file".
absl::Status GitLfsPointerError(const ByteSource& source, std::string_view wanted);

// Feeds `size_bytes` bytes from `offset` on to `hash`.
absl::Status HashBytes(const ByteSource& source, uint64_t offset, uint64_t size_bytes,
                       Sha256& hash);

}  // namespace quantized
