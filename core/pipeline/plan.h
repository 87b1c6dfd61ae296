// What a job will write, decided before any work: type, place and size of each tensor, the output's
// header, the job's fingerprint. A pure function of source, recipe and output path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/pipeline/quantize.h"
#include "core/quantize/levels.h"
#include "core/source/model_source.h"
#include "kernels/types/quant_type.h"

namespace quantized {

struct OutputTensor {
  std::string name;
  size_t source = 0;            // index in ModelSource::tensors()
  kernels::TypeId source_type;  // of what ReadRows gives
  kernels::TypeId type;         // of what is written; the same: bytes are copied
  uint64_t rows = 0, cols = 0;
  uint64_t offset = 0;  // in the output file
  uint64_t size_bytes = 0;
  int64_t layer = -1;  // from the name; -1 belongs to no layer
};

struct QuantizePlan {
  const Recipe* recipe = nullptr;
  std::vector<OutputTensor> tensors;  // in the order of the file
  std::string header;                 // the file's first bytes, up to the first tensor
  uint64_t file_size_bytes = 0;
  uint32_t layers = 0;  // different ones among the tensors
  double bits_per_weight = 0;
  std::vector<SubstitutedType> substitutions;
  // SHA-256 (hex) over what decides the output's bytes (source, header and with it each tensor's
  // type, tool version) and its path: names the checkpoint.
  std::string fingerprint;
};

// `output_path` is absolute. Errors: kValidationFailed and kInvalidArgument as SelectTypes.
absl::StatusOr<QuantizePlan> MakePlan(const ModelSource& source, const Recipe& recipe,
                                      const std::filesystem::path& output_path);

// Memory that a job takes for this plan on `threads` threads, metadata and tables included.
uint64_t PlannedMemoryBytes(const QuantizePlan& plan, size_t threads);

}  // namespace quantized
