// A model as a job sees it that runs it on text: its configuration for the forward pass, its
// weights, and the text as windows of its token ids. A Hugging Face directory, or a GGUF file as
// the directory that it was made of (core/pipeline/gguf_model.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/base/job_context.h"
#include "core/base/temp_folder.h"
#include "core/calibrate/calibration_set.h"
#include "core/forward/forward_config.h"
#include "core/forward/input_statistics.h"
#include "core/forward/tensor_source.h"
#include "core/forward/walk_needs.h"
#include "core/hf/config.h"
#include "core/pipeline/quantize.h"
#include "core/source/model_source.h"

namespace quantized {

struct CalibratedModel {
  // Where configuration and tokenizer lie: the directory; of a GGUF file a folder that goes with
  // this.
  std::filesystem::path path;
  HfConfig hf_config;
  const Architecture* architecture = nullptr;
  ForwardConfig config;
  std::unique_ptr<TensorSource> source;
  std::vector<const TensorSource::Tensor*> tensors;  // of `source`
  ModelSummary summary;
  bool is_quantized = false;  // a GGUF file with types of blocks
  // SHA-256 (hex) over what decides what the model computes: the weights' files and config.json.
  std::string weights_fingerprint;
  std::unique_ptr<TempFolder> rebuilt;  // null for a directory
};

// `pre_tokenizer`: of a GGUF file, as in RebuildHfFiles. Errors: kNotImplemented for a directory
// that is quantized already; kValidationFailed for an unknown architecture; those of LocateModel,
// RebuildHfFiles and the other parts.
absl::StatusOr<CalibratedModel> OpenCalibratedModel(const std::filesystem::path& path,
                                                    std::string_view pre_tokenizer = "");

// Tells the context its warnings, that the tokens are few for Gram matrices of the model's linears
// among them where `kind` asks for these. Errors: those of LoadCalibrationData and
// MakeCalibrationSet.
absl::StatusOr<CalibrationSet> LoadCalibrationSet(const CalibrationRequest& request,
                                                  StatisticsKind kind, const CalibratedModel& model,
                                                  JobContext& context);

// `windows` windows that a calibration by the same request does not see; of the built-in text where
// the request's data have none left. A text that nothing is calibrated with (any where
// `is_calibrated` is false, the built-in one in place of another) may serve from its start: it does
// where the windows behind those of a calibration are too few, so that all levels of a model are
// measured on the same ones if possible. Errors: those of LoadCalibrationData and MakeHeldOutSet;
// kInvalidArgument where there is no window at all.
absl::StatusOr<CalibrationSet> LoadHeldOutSet(const CalibrationRequest& request, uint32_t windows,
                                              bool is_calibrated, const CalibratedModel& model,
                                              JobContext& context);

// Host memory that running the model takes: the program, the weights of the larger half of a layer
// as floats, and what the walk needs.
uint64_t WalkMemoryBytes(const ForwardConfig& config, const WalkNeeds& walk);

// kOutOfMemory where it is more than is available; `what` is to be done: "measuring the quality".
absl::Status CheckWalkMemory(const ForwardConfig& config, const WalkNeeds& walk,
                             std::string_view what);

// Of a walk over the calibration's windows.
WalkSize WalkSizeOf(const CalibrationSet& calibration, size_t threads, bool changes_weights);
// The same before there are windows: as many as are asked for.
WalkSize WalkSizeOf(const CalibrationRequest& request, size_t threads, bool changes_weights);

CalibrationSummary SummaryOf(const CalibrationSet& calibration);

// Of the memory that is available, what activations of all tokens may take before they go to disk.
uint64_t ActivationBudgetBytes();

// Of a worker that walks over a model, besides what grows with it: code and libraries, BLAS's
// buffers, text, and the tokenizer.
inline constexpr uint64_t kWalkProgramBytes = 96 << 20;

}  // namespace quantized
