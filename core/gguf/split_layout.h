// Layouts of models that are written as several files. Two tools in the field write such, each with
// its own rule and order of keys, and files of ours have the same bytes: docs/formats/gguf.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/gguf/layout.h"
#include "core/gguf/metadata.h"

namespace quantized::gguf {

struct SplitFile {
  std::string suffix;       // what follows the prefix in its name: "-00001-of-00003.gguf"
  size_t first_tensor = 0;  // the first and how many of the list that was given; layout.tensors
  size_t tensor_count = 0;  // has these only
  GgufLayout layout;
};

// Both functions give at least one file; the first holds all of `metadata`, the others only the
// keys of a split model, which take the place of those in `metadata`. Errors: those of Plan, over
// the tensors of all files; kInvalidArgument for more files than the keys can count.

// As the reference's splitter does it: a file is full when the next tensor would take its tensors,
// each padded to 32 bytes, beyond `max_bytes`. Metadata does not count, and a tensor that is larger
// on its own gets a file of its own. Errors: kInvalidArgument, naming --split-max-size, if that is
// the first one.
absl::StatusOr<std::vector<SplitFile>> PlanSplitBySize(const Metadata& metadata,
                                                       std::span<const PlannedTensor> tensors,
                                                       uint64_t max_bytes);

// As the reference's quantizer keeps the files of a split source: `file_of_tensor` tells, from 0 on
// and ascending, which file has each tensor. A file before the last may be left without tensors. A
// single file gets the name of a split model, but none of the keys.
absl::StatusOr<std::vector<SplitFile>> PlanKeptSplit(const Metadata& metadata,
                                                     std::span<const PlannedTensor> tensors,
                                                     std::span<const uint32_t> file_of_tensor);

}  // namespace quantized::gguf
