// Reads the files that hold an importance matrix: the GGUF form and the older ".dat". Both forms,
// and how weights come out of their numbers: docs/formats/imatrix.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tensor/byte_source.h"

namespace quantized {

// By the name of a tensor: one weight per column of it. Where the tensor holds several matrices
// (experts), the weights of one follow those of the other.
using ImportanceWeights = std::map<std::string, std::vector<float>, std::less<>>;

struct ImportanceFile {
  ImportanceWeights entries;           // one at least, none of them empty
  std::optional<std::string> dataset;  // the first that the file names
  uint32_t chunks = 0;                 // of text that were measured; 0 where the file does not say
};

// The first bytes decide on the form. Weights are what the file's numbers give, be they numbers or
// not. No more than a few times the file's size is allocated. Errors: kValidationFailed, whose
// message names file, entry, found and expected; kIo.
absl::StatusOr<ImportanceFile> ReadImportanceFile(std::unique_ptr<ByteSource> bytes);

}  // namespace quantized
