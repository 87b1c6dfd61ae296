// What a quantization would make, and what it would need, found without doing any of it: the answer
// to `--plan`. Reads headers, configuration and tokenizer, and where the model is to be run on text
// its first layer, which it runs; writes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/pipeline/conversion.h"
#include "core/pipeline/directory_plan.h"
#include "core/pipeline/layer_probe.h"
#include "core/pipeline/quantize.h"
#include "core/source/model_source.h"

namespace quantized {

struct OutputForecast {
  std::string level;                         // canonical
  std::vector<std::filesystem::path> files;  // one, or those of a split model
  uint64_t size_bytes = 0;                   // of all files
  double bits_per_weight = 0;
  std::vector<SubstitutedType> substitutions;
};

// What a conversion would do to the weights.
struct ConversionForecast {
  std::string from;      // "gptq 4bit"
  std::string fidelity;  // as in QuantizeResult
  std::string why;       // it is not exact
  // |difference of weights|² / |weights|² on a sample of rows; 0 where nothing changes.
  double relative_error = 0;
};

struct QuantizeForecast {
  ModelSummary model;
  std::vector<OutputForecast> outputs;  // in the order of the request
  bool measures_importance = false;     // gguf: the job measures an importance matrix first
  // Of running the model on text for all outputs; nothing where the job does not.
  std::optional<WalkForecast> walk;
  std::optional<ConversionForecast> conversion;
  size_t threads = 0;
  uint64_t memory_needed_bytes = 0, memory_available_bytes = 0;
  uint64_t disk_needed_bytes = 0, disk_free_bytes = 0;  // in the outputs' folder
  std::vector<std::string> warnings;  // what would stop the job that this forecast is of
};

// Errors: those of Quantize that come before any work, but for what `warnings` tells: too little
// memory or disk, an importance matrix that is missing, an output that is there.
absl::StatusOr<QuantizeForecast> ForecastQuantize(const QuantizeRequest& request, size_t threads);

// Of one output that is a directory: what it will hold, and what there is to know before it is
// made.
OutputForecast ForecastOf(const DirectoryPlan& plan);
void WarnOf(const DirectoryPlan& plan, QuantizeForecast& forecast);
// Without an error, which is still to be measured.
ConversionForecast ForecastOf(const Conversion& conversion);

}  // namespace quantized
