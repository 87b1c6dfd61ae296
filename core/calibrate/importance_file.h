// The files that hold an importance matrix: the GGUF form and the older ".dat". Both forms, and how
// weights come out of their numbers: docs/formats/imatrix.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/tensor/byte_source.h"

namespace quantized {

// What was measured of a tensor. Where it holds several matrices (experts), the columns of one
// follow those of the other.
struct ImportanceEntry {
  std::vector<float> sums;    // of squares of what the columns are multiplied with, over tokens
  std::vector<float> counts;  // of tokens: one for each matrix, or one for all; divides sums.size()

  uint64_t columns() const { return sums.size() / counts.size(); }
  // One for each sum: the mean over tokens, 1 for all columns of a matrix without tokens.
  std::vector<float> Weights() const;
};

struct ImportanceFile {
  std::map<std::string, ImportanceEntry, std::less<>> entries;  // by tensor, none of them empty
  std::vector<std::string> datasets;                            // the texts that were measured
  uint32_t chunks = 0;  // of text that were measured; 0 where the file does not say
  uint32_t chunk_tokens = 0;
};

// The first bytes decide on the form. Sums are what the file's numbers give, be they numbers or
// not; of the older form, which has means and calls, they are those of 512 tokens a call. No more
// than a few times the file's size is allocated. Errors: kValidationFailed, whose message names
// file, entry, found and expected, also where there is no entry; kIo.
absl::StatusOr<ImportanceFile> ReadImportanceFile(std::unique_ptr<ByteSource> bytes);

// Errors: kInvalidArgument, naming --imatrix, when there is no such file; those above.
absl::StatusOr<ImportanceFile> OpenImportanceFile(const std::filesystem::path& path);

// What both measured, as if it had been one run. `name` of `more` is for the message. Errors:
// kInvalidArgument, naming the entry, where an entry of both has different sizes.
absl::Status AddImportance(const ImportanceFile& more, std::string_view name, ImportanceFile& sum);

// Bytes of a file of the GGUF form or of the older one. Errors: those of gguf::Plan.
absl::StatusOr<std::string> ImportanceGguf(const ImportanceFile& file);
std::string ImportanceLegacy(const ImportanceFile& file);

// Those of the form that a path asks for: the older one where it ends in ".dat".
absl::StatusOr<std::string> ImportanceBytes(const ImportanceFile& file,
                                            const std::filesystem::path& path);

}  // namespace quantized
