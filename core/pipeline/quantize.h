// Model → validated GGUF file, streamed: rows are read, encoded and written at their final offset
// in `OUTPUT.part`, finished tensors are noted in a checkpoint, the result is validated and
// renamed. Data's way and the promises about crashes: docs/design/streaming.md,
// docs/formats/checkpoint.md. Memory does not grow with the model: a few slices of rows per thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/quantize/column_order.h"
#include "core/safetensors/writer.h"
#include "kernels/types/quant_type.h"

namespace quantized {

struct CheckpointOptions {
  bool enabled = true;
  std::filesystem::path directory;    // holds one folder per fingerprint
  std::filesystem::path resume_from;  // empty: use what fits; else this one or kCheckpoint
};

struct SubstitutedType {
  std::string tensor, wanted_type, used_type, why;
};

// The text that a calibrated method looks at, and the measuring of an importance matrix.
struct CalibrationRequest {
  std::filesystem::path data;  // empty: the built-in text
  std::string name;            // as typed, for messages
  uint32_t samples = 256;
  uint32_t sequence_length = 512;
  uint64_t seed = 0;
  // Of a mixture, statistics of each expert are of all tokens.
  bool all_tokens_to_experts = false;
  bool is_given = false;  // the user said something of it
};

inline constexpr int64_t kAutoGroupSize = 0;  // the largest that fits

// How awq and gptq quantize (core/quantize/layer_quantizer.h).
struct CalibratedOptions {
  int64_t group_size = 128;  // -1: a row is one group
  // AWQ only: codes are the nearest within clipped ranges, as published, not those of GPTQ.
  bool awq_clip = false;
  uint64_t max_file_bytes = safetensors::kDefaultMaxFileBytes;  // of a file of weights
  // GPTQ only.
  bool symmetric = true;
  ColumnOrder order = ColumnOrder::kGroupAware;
  double damping = 0.01;
};

// What is to be known of the results' quality (core/pipeline/quality.h).
struct QualityRequest {
  bool is_wanted = false;         // measure it
  bool report = false;            // write files of it beside the outputs
  std::optional<double> max_kld;  // a result above it fails
  uint32_t samples = 16;          // held-out windows to measure on
};

// How far predictions on held-out text are from the source's.
struct QualitySummary {
  std::string description;  // of the text
  uint64_t tokens = 0;      // scored
  double source_perplexity = 0, perplexity = 0;
  double kl_divergence = 0;  // mean over tokens, in nats
  double kl_standard_error = 0;
  double top1_agreement = 0;
  std::vector<std::filesystem::path> report_files;
  std::string table;  // the report for a terminal
};

struct CalibrationSummary {
  std::string description;  // of the data
  std::string hash;
  uint64_t windows = 0, sequence_length = 0;
};

struct QuantizeResult {
  std::filesystem::path output_path;  // as asked for; of a split model no file has this name
  std::string level;                  // canonical: "Q4_K_M"
  std::string fingerprint;            // of source, recipe, tool version and output path
  std::string original_dtype;         // "float16"
  uint64_t original_size_bytes = 0;
  uint64_t file_size_bytes = 0;
  uint64_t tensors = 0;
  uint32_t layers_processed = 0;
  uint64_t units_reused = 0;  // tensors taken from the checkpoint
  double bits_per_weight = 0;
  std::vector<SubstitutedType> substitutions;
  std::vector<std::filesystem::path> files;  // of a split model, in order; empty for one file
  std::string device = "cpu";        // "cuda:0 NVIDIA H100" where it encoded or ran the model
  uint64_t device_memory_bytes = 0;  // the highest use of its memory
  bool already_done = false;         // the output was there, made by the same job, and is valid
  std::string format = "gguf";
  CalibrationSummary calibration;         // of gguf: of the importance matrix that the job measured
  std::vector<std::string> notes;         // "MODULE: what was done beyond the usual"
  std::optional<QualitySummary> quality;  // where the request wants it
  std::string fidelity;  // of a conversion: "exact", "rounded", "requantized"; else empty
  // Of awq and gptq.
  int64_t group_size = 0;
  // Of ModuleReport::relative_error, as far as known; none where no linear's is.
  std::optional<double> mean_module_error;
};

// One level to make.
struct OutputRequest {
  std::string level;  // any case
  std::filesystem::path path;
  // The result that an earlier job stored for this path, if any.
  std::optional<QuantizeResult> previous;
};

// What users of llama-quantize know by these names, as they typed it.
struct GgufOptions {
  // Importance matrices; several are added up.
  std::vector<std::filesystem::path> imatrix_paths;
  std::vector<std::string> imatrix_names;  // as typed; go into the metadata
  // Measure a matrix with `calibration`, also where no level needs one.
  bool measure_importance = false;
  std::filesystem::path imatrix_out;  // where the matrix that is used goes, too; empty: nowhere
  std::string imatrix_out_name;       // as typed
  std::vector<std::string> include_weights, exclude_weights;
  std::vector<std::string> tensor_types;  // "REGEX=TYPE"
  std::string output_tensor_type, token_embedding_type;
  bool leave_output_tensor = false;
  bool pure = false;
  std::vector<uint32_t> prune_layers;
  std::vector<std::string> override_kv;  // "KEY=KIND:VALUE"
  bool keep_split = false;
  uint64_t split_max_bytes = 0;  // 0: one file
  bool allow_requantize = false;
};

// The model is quantized already, and is converted (core/pipeline/convert.h).
struct ConversionRequest {
  bool is_wanted = false;
  bool may_requantize = false;  // a loss of quality is accepted
  // Of an AWQ or GPTQ directory: its linears become these blocks. Convert finds it out.
  std::optional<kernels::TypeId> blocks;
};

struct QuantizeRequest {
  std::filesystem::path model_path;
  std::string model_name;       // as the user typed it, for messages
  std::string hub_repository;   // "org/name" of a model of the Hub; else empty
  std::string format = "gguf";  // "awq", "gptq": QuantizeToDirectory
  std::vector<OutputRequest> outputs;
  GgufOptions gguf;
  CalibrationRequest calibration;
  CalibratedOptions calibrated;
  QualityRequest quality;
  ConversionRequest conversion;
  bool strict = false;  // a substituted type is an error
  bool overwrite = false;
  CheckpointOptions checkpoint;
  // Of the machine, for all jobs: importance matrices that were measured. Empty: none.
  std::filesystem::path cache_directory;
  std::string pre_tokenizer;
  // "auto" (or empty), "cpu", "cuda" or "cuda:N": where blocks are encoded (encode_device.h) and
  // the model is run on text (walk_device.h).
  std::string device = "cpu";
  // An earlier attempt of this job ended without a word: it may have published outputs already.
  bool retried = false;
};

// How a job ended. Levels do not pull each other down: what is finished stays.
struct QuantizeOutcome {
  std::vector<QuantizeResult> finished;  // in the order of the request
  absl::Status status;                   // the first failure in that order
};

// Without an importance matrix a level that needs one gets one measured (measure_importance.h).
// Tells the context: the phases; the contract's lines, without prefix; a warning for each kind of
// substituted type; progress in layers ("layers"; a layer is done when all its tensors are; tensors
// outside layers come first and move only the bytes written) or, in a model without layers, in
// "tensors"; each sync of the checkpoint.
// Errors: kModelNotFound, kValidationFailed (source or output), kInvalidArgument (level, output
// there already, a device that cannot be used), kNotImplemented (a level of a later version),
// kOutOfMemory and kDiskFull (before any work), kCheckpoint, kCancelled, kIo; kInternal where a
// device failed. What stays on disk after an error, and what a killed
// process leaves, is in docs/formats/checkpoint.md; under the final name there is never anything
// but a whole, validated file.
QuantizeOutcome Quantize(const QuantizeRequest& request, JobContext& context);

}  // namespace quantized
