// What a job will write, decided before any work: type, place and size of each tensor, the output's
// header, the job's fingerprint. A pure function of source, recipe and output path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/pipeline/quantize.h"
#include "core/quantize/levels.h"
#include "core/source/model_source.h"
#include "kernels/types/quant_type.h"

namespace quantized {

// A file of the output; more than one for a split model.
struct OutputFile {
  std::filesystem::path path;  // its final name
  std::string header;          // its first bytes, up to the first tensor
  uint64_t size_bytes = 0;
};

struct OutputTensor {
  std::string name;
  size_t source = 0;            // index in ModelSource::tensors()
  kernels::TypeId source_type;  // of what ReadRows gives
  kernels::TypeId type;         // of what is written; the same: bytes are copied
  uint64_t rows = 0, cols = 0;
  size_t file = 0;      // index in QuantizePlan::files
  uint64_t offset = 0;  // in that file
  uint64_t size_bytes = 0;
  int64_t layer = -1;  // from the name; -1 belongs to no layer
  // What the encoder weighs by: `cols` weights, or as many for each of several matrices of equally
  // many rows; empty where there is nothing to weigh by.
  std::span<const float> importance = {};
};

struct QuantizePlan {
  const Recipe* recipe = nullptr;
  std::vector<OutputTensor> tensors;  // in the order of the files
  std::vector<OutputFile> files;
  uint32_t layers = 0;  // different ones among the tensors
  double bits_per_weight = 0;
  std::vector<SubstitutedType> substitutions;
  // SHA-256 (hex) over what decides the output's bytes (source, header and with it each tensor's
  // type, tool version) and its path: names the checkpoint.
  std::string fingerprint;

  uint64_t SizeBytes() const;  // of all files
};

// `output_path` is absolute. Errors: kValidationFailed and kInvalidArgument as SelectTypes.
absl::StatusOr<QuantizePlan> MakePlan(const ModelSource& source, const Recipe& recipe,
                                      const std::filesystem::path& output_path);

// Memory that a job takes for these plans, made in one pass on `threads` threads, metadata and
// tables included.
uint64_t PlannedMemoryBytes(std::span<const QuantizePlan* const> plans, size_t threads);

}  // namespace quantized
