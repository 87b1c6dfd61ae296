// Where everything of the safetensors files that are to be written will lie: one file, or several
// with an index. Format: docs/formats/safetensors.md. The plan is a pure function of names, types
// and shapes, known before any data is: the writer puts each header at byte 0 and each tensor's
// bytes at their offset, in any order and from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tensor/dtype.h"

namespace quantized::safetensors {

inline constexpr uint64_t kDefaultMaxFileBytes = 5'000'000'000;
inline constexpr std::string_view kIndexFileName = "model.safetensors.index.json";

struct PlannedTensor {
  std::string name;
  DType dtype = DType::kF16;
  std::vector<uint64_t> shape;  // outermost dimension first
};

struct PlannedFile {
  std::string name;         // "model.safetensors", "model-00001-of-00003.safetensors"
  size_t first_tensor = 0;  // the first and how many of the list that was given
  size_t tensor_count = 0;
  // Bytes [0, data_start): length, JSON, blanks. data_start is header.size(), a multiple of 8.
  std::string header;
  uint64_t size_bytes = 0;
};

struct SafetensorsLayout {
  struct Placement {
    size_t file = 0;      // index into `files`
    uint64_t offset = 0;  // from the start of the file
    uint64_t size_bytes = 0;
  };

  std::vector<PlannedFile> files;  // one at least
  // One per tensor, in the order given. They cover each file's data without a gap.
  std::vector<Placement> tensors;
  uint64_t total_bytes = 0;  // of all tensors
  std::string index;         // text of kIndexFileName; empty where there is one file
};

// Keeps the order of `tensors`. A file is full when the next tensor would take its data beyond
// `max_file_bytes`; a tensor that is larger on its own gets a file of its own. Errors:
// kValidationFailed, naming the tensor: a name that is there twice, is reserved or is not UTF-8,
// more than 16 dimensions, a size that overflows; a header or a number of files that readers do not
// take.
absl::StatusOr<SafetensorsLayout> PlanSafetensors(std::span<const PlannedTensor> tensors,
                                                  uint64_t max_file_bytes = kDefaultMaxFileBytes);

}  // namespace quantized::safetensors
