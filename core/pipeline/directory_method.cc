#include "core/pipeline/directory_method.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/packed/companion_files.h"
#include "core/pipeline/checkpoint.h"
#include "core/pipeline/part_file.h"
#include "core/pipeline/walk_snapshot.h"
#include "core/quantize/gptq.h"
#include "core/quantize/gptq_factor.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

AwqOptions AwqOptionsOf(const DirectoryPlan& plan) {
  AwqOptions options;
  options.group_size = plan.group_size();
  options.gptq_codes = !plan.packed.awq_clip;
  return options;
}

GptqOptions GptqOptionsOf(const QuantizeRequest& request, const DirectoryPlan& plan) {
  GptqOptions options;
  options.bits = plan.level.bits;
  options.group_size = plan.group_size();
  options.symmetric = plan.packed.sym;
  options.order = request.calibrated.order;
  options.damping = request.calibrated.damping;
  options.avoid_zero_point_zero = true;
  return options;
}

}  // namespace

absl::StatusOr<UnquantizedModel> OpenUnquantizedModel(const QuantizeRequest& request) {
  const fs::path& path = request.model_path;
  ASSIGN_OR_RETURN(CalibratedModel opened, OpenCalibratedModel(path, request.pre_tokenizer));
  if (opened.is_quantized) {
    return MakeError(
        Error::kNotImplemented,
        StrCat(path.string(), ": the weights are quantized already (", opened.summary.dtype, ")"),
        "Use convert, or the original model");
  }
  UnquantizedModel model{std::move(opened), /*fingerprint=*/"", /*companions=*/{}};
  ASSIGN_OR_RETURN(model.companions, CompanionFiles(model.path));
  Sha256 hash;
  hash.Update(model.weights_fingerprint);
  RETURN_IF_ERROR(HashFiles(model.path, model.companions, hash));
  model.fingerprint = hash.HexDigest();
  return model;
}

PackedMethod MethodOf(std::string_view format) {
  return format == NameOf(PackedMethod::kAwq) ? PackedMethod::kAwq : PackedMethod::kGptq;
}

absl::StatusOr<DirectoryPlan> DirectoryPlanOf(const QuantizeRequest& request,
                                              const OutputRequest& output,
                                              const UnquantizedModel& model) {
  return MakeDirectoryPlan(model.config, model.hf_config, model.tensors, MethodOf(request.format),
                           output.level, request.calibrated,
                           fs::absolute(output.path).lexically_normal());
}

std::unique_ptr<LayerVisitor> MakeLayerQuantizer(const QuantizeRequest& request,
                                                 const UnquantizedModel& model,
                                                 const DirectoryPlan& plan,
                                                 QuantizedLayerSink& sink, ThreadPool& threads) {
  if (plan.method == PackedMethod::kAwq) {
    return std::make_unique<AwqQuantizer>(model.config, AwqOptionsOf(plan), sink, threads);
  }
  return std::make_unique<GptqQuantizer>(GptqOptionsOf(request, plan), sink, threads);
}

std::string LayerQuantizerSettings(const QuantizeRequest& request, const DirectoryPlan& plan) {
  return plan.method == PackedMethod::kAwq ? Describe(AwqOptionsOf(plan))
                                           : Describe(GptqOptionsOf(request, plan));
}

uint64_t LayerQuantizerMemoryBytes(const DirectoryPlan& plan, size_t threads,
                                   const WalkNeeds& walk) {
  constexpr uint64_t kLargestLinears = 8;  // of a layer, and copies while one is worked on
  uint64_t widest = 0, largest = 0;
  for (const LinearShape& linear : plan.linears) {
    widest = std::max<uint64_t>(widest, linear.in);
    largest = std::max<uint64_t>(largest, uint64_t{linear.out} * linear.in);
  }
  const uint64_t gram_bytes = widest * widest * sizeof(float);
  return kWalkProgramBytes + kLargestLinears * largest * sizeof(float) + gram_bytes +
         std::max(FactorMemoryBytes(widest), gram_bytes + threads * GptqTileMemoryBytes(widest)) +
         walk.memory_bytes;
}

DiskNeeds PassingDiskNeeds(const QuantizeRequest& request, const ForwardConfig& config,
                           const DirectoryPlan& plan, const WalkSize& size, const WalkNeeds& walk) {
  DiskNeeds needs;
  needs.Add(PartPath(plan.output_path), walk.disk_bytes);
  if (!request.checkpoint.enabled || config.geometry.layers < 2) return needs;
  // Where the checkpoint is or will be; of one that is not where the request says another is made.
  const CheckpointOwner owner = {plan.fingerprint, request.model_name, plan.level.name,
                                 plan.output_path.string()};
  const absl::StatusOr<fs::path> located = LocateCheckpoint(request.checkpoint, owner);
  const fs::path folder = located.ok() ? *located : request.checkpoint.resume_from;
  needs.Add(SavedWalkNeeds(folder / kSavedWalkFile, size.tokens(), config.geometry.hidden));
  return needs;
}

absl::Status CheckLayerQuantizerMemory(const QuantizeRequest& request, uint64_t needed_bytes) {
  return CheckMemory(needed_bytes, StrCat("quantizing ", request.model_name),
                     "Free memory, or use fewer --calibration-samples or --threads");
}

}  // namespace quantized
