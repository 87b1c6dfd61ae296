// How a job of format awq or gptq quantizes a model: which models it takes, a level's plan, what
// quantizes its layers, and the memory for that. What a job and its forecast have in common.
// Methods: docs/design/awq.md, docs/design/gptq.md. Functions may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/forward/forward_config.h"
#include "core/forward/layer_walk.h"
#include "core/forward/walk_needs.h"
#include "core/packed/checkpoint_config.h"
#include "core/pipeline/calibrated_model.h"
#include "core/pipeline/directory_plan.h"
#include "core/pipeline/quantize.h"
#include "core/pipeline/room.h"
#include "core/quantize/layer_quantizer.h"

namespace quantized {

// What is the same for all levels of a job.
struct UnquantizedModel : CalibratedModel {
  std::string fingerprint;              // of weights, configuration and companion files
  std::vector<std::string> companions;  // files that the output takes over (CompanionFiles)
};

// Errors: those of OpenCalibratedModel, CompanionFiles and HashFiles; kNotImplemented for a GGUF
// file that is quantized already.
absl::StatusOr<UnquantizedModel> OpenUnquantizedModel(const QuantizeRequest& request);

// Of a request's format, "awq" or "gptq".
PackedMethod MethodOf(std::string_view format);

// Of the level that `output` names; without a fingerprint. Errors: those of MakeDirectoryPlan.
absl::StatusOr<DirectoryPlan> DirectoryPlanOf(const QuantizeRequest& request,
                                              const OutputRequest& output,
                                              const UnquantizedModel& model);

// What quantizes a layer as the level's method does. `model`, `sink` and `threads` must outlive the
// result.
std::unique_ptr<LayerVisitor> MakeLayerQuantizer(const QuantizeRequest& request,
                                                 const UnquantizedModel& model,
                                                 const DirectoryPlan& plan,
                                                 QuantizedLayerSink& sink, ThreadPool& threads);

// All settings of it that decide about codes, so that a job goes on with its own only.
std::string LayerQuantizerSettings(const QuantizeRequest& request, const DirectoryPlan& plan);

// What a layer takes while it is quantized: its weights as floats, the Gram matrix of its widest
// inputs with what GPTQ makes of it, the rows that `threads` are at, and what the walk needs.
uint64_t LayerQuantizerMemoryBytes(const DirectoryPlan& plan, size_t threads,
                                   const WalkNeeds& walk);

// Disk that a level takes while it is made, beside its output: activations beside it, and the saved
// walk in its checkpoint.
DiskNeeds PassingDiskNeeds(const QuantizeRequest& request, const ForwardConfig& config,
                           const DirectoryPlan& plan, const WalkSize& size, const WalkNeeds& walk);

// Errors: kOutOfMemory where it is more than is available.
absl::Status CheckLayerQuantizerMemory(const QuantizeRequest& request, uint64_t needed_bytes);

}  // namespace quantized
