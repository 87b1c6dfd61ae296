// A quantized model as the tensors and files of the AWQ or GPTQ folder that convert makes of it.
// Nothing of a tensor is read before it is asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/packed/loader_notes.h"
#include "core/packed/quantized_linear.h"
#include "core/pipeline/conversion.h"
#include "core/rebuild/hf_files.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/model_source.h"

namespace quantized {

struct ConvertedLinear {
  QuantizedLinear linear;
  double relative_error = 0;  // |difference of weights|² / |weights|²
};

struct ConvertedFolder {
  struct Linear {
    LinearShape shape;
    bool is_anew = false;  // quantized anew; else it keeps its codes and scales
    // Thread-safe; on the pool's threads only where it is not quantized anew. Errors: those of
    // reading.
    std::function<absl::StatusOr<ConvertedLinear>(ThreadPool& threads)> make;
  };

  std::shared_ptr<const void> source;  // what the functions read from
  ModelSummary summary;
  std::string fingerprint;  // of the source
  std::vector<Linear> linears;
  std::vector<CheckpointTensor> others;  // written as they are
  nlohmann::json config;  // config.json, quantization_config not yet that of the result
  std::filesystem::path companions_from;  // copied from there:
  std::vector<std::string> companions;
  std::vector<HfFile> files;  // made
  std::string card;           // README.md of the source; may be empty
};

// Of an AWQ or GPTQ directory. `conversion` is one that PlanConversion gave. Errors: those of
// reading it, naming it.
absl::StatusOr<ConvertedFolder> FolderOfPacked(const std::filesystem::path& directory,
                                               const Conversion& conversion);

// Of a GGUF file; `pre_tokenizer` as in RebuildHfFiles. Errors: those of OpenGgufModel and
// RebuildHfFiles; kUnsupportedConversion for a linear whose widths AWQ and GPTQ do not hold.
absl::StatusOr<ConvertedFolder> FolderOfGguf(const std::filesystem::path& file,
                                             const Conversion& conversion,
                                             std::string_view pre_tokenizer);

// `weights` [out, in] quantized anew, without calibration, as the options say. Errors: those of
// RoundToNearest.
absl::StatusOr<ConvertedLinear> QuantizedAnew(const Matrix& weights, const PackedOptions& options,
                                              ThreadPool& threads);

}  // namespace quantized
