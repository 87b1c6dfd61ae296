// What a job will write, decided before any work: type, place and size of each tensor, the outputs'
// headers, the fingerprint. A pure function of source, recipe, options and output path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/calibrate/importance_matrix.h"
#include "core/gguf/metadata.h"
#include "core/pipeline/quantize.h"
#include "core/quantize/levels.h"
#include "core/quantize/selection_options.h"
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
  std::filesystem::path output_path;  // as asked for; of a split model no file has this name
  std::vector<OutputTensor> tensors;  // in the order of the files
  std::vector<OutputFile> files;
  uint32_t layers = 0;  // different ones among the tensors
  double bits_per_weight = 0;
  uint64_t source_memory_bytes = 0;  // ModelSource::memory_bytes
  std::vector<SubstitutedType> substitutions;
  // Not OK where a tensor needs importance weights and there are none for it: kInvalidArgument. The
  // plan can be looked at, not carried out.
  absl::Status missing_importance;
  // SHA-256 (hex) over what decides the output's bytes (source, headers and with them each
  // tensor's type, importance, tool version) and its path: names the checkpoint.
  std::string fingerprint;

  uint64_t SizeBytes() const;  // of all files
};

// GgufOptions, understood.
struct PlanOptions {
  SelectionOptions selection;
  std::vector<gguf::Metadata::Entry> overrides;
  std::optional<ImportanceMatrix> importance;
  std::string importance_name;  // as the user typed its path; empty where it was measured
  bool keep_split = false;
  uint64_t split_max_bytes = 0;  // 0: one file

  // Reads the importance matrices, too. Errors: kInvalidArgument for what does not parse or exclude
  // each other; those of ReadImportance and UseImportance.
  static absl::StatusOr<PlanOptions> Parse(const GgufOptions& options);
  // What is left of `file` by the options' filter. Errors: those of ImportanceMatrix::Make.
  absl::Status UseImportance(const ImportanceFile& file, std::string name,
                             const GgufOptions& options);
};

// The matrices that the options name, added up. Errors: those of OpenImportanceFile and
// AddImportance.
absl::StatusOr<ImportanceFile> ReadImportance(const GgufOptions& options);

// `output_path` is absolute; `options` must outlive the plan, which points into its matrix. Errors:
// kValidationFailed and kInvalidArgument as SelectTypes and ImportanceMatrix::Find.
absl::StatusOr<QuantizePlan> MakePlan(const ModelSource& source, const Recipe& recipe,
                                      const std::filesystem::path& output_path,
                                      const PlanOptions& options);

// Memory that a job takes for these plans, made in one pass on `threads` threads, metadata and
// tables included.
uint64_t PlannedMemoryBytes(std::span<const QuantizePlan* const> plans, size_t threads);

}  // namespace quantized
