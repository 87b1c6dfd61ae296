#include "core/pipeline/quantize.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/checkpoint.h"
#include "core/pipeline/encode.h"
#include "core/pipeline/encode_device.h"
#include "core/pipeline/level_output.h"
#include "core/pipeline/measure_importance.h"
#include "core/pipeline/output_folder.h"
#include "core/pipeline/output_guard.h"
#include "core/pipeline/part_file.h"
#include "core/pipeline/plan.h"
#include "core/pipeline/progress.h"
#include "core/pipeline/quality.h"
#include "core/pipeline/room.h"
#include "core/pipeline/sources.h"
#include "core/pipeline/walk_device.h"
#include "core/quantize/levels.h"
#include "core/source/model_source.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

using Outputs = std::vector<std::unique_ptr<LevelOutput>>;

// One run of a job, step by step; Run tells the order. Until the first part file is there an error
// is the whole job's; from then on each output has its own.
class QuantizeJob {
 public:
  QuantizeJob(const QuantizeRequest& request, JobContext& context)
      : request_(request), context_(context) {}

  QuantizeOutcome Run() {
    if (absl::Status status = Prepare(); !status.ok()) {
      FailAll(status);
      CleanUp();
      return {{}, std::move(status)};
    }
    if (HasOpen()) Encode();
    if (request_.quality.is_wanted) Assess();
    if (HasOpen()) Validate();
    if (HasOpen()) Publish();
    CleanUp();
    return Outcome();
  }

 private:
  absl::Status Prepare() {
    context_.progress.OnPhase(Phase::kProbe);
    ASSIGN_OR_RETURN(device_, EncodeDevice::Choose(request_.device, context_.progress));
    RETURN_IF_ERROR(OpenAndPlan());
    for (const auto& output : outputs_) output->CheckExisting();
    RETURN_IF_ERROR(FirstFailure());
    RETURN_IF_ERROR(CheckRoom());
    if (!HasOpen()) return absl::OkStatus();
    RETURN_IF_ERROR(OpenDevice());

    context_.progress.OnPhase(Phase::kLoad);
    RETURN_IF_ERROR(StartOutputs());
    WarnOfSubstitutions();
    return absl::OkStatus();
  }

  absl::Status OpenAndPlan() {
    ASSIGN_OR_RETURN(const std::vector<const Recipe*> recipes, RecipesOf(request_));
    context_.progress.OnMessage(StrCat("Loading model: ", request_.model_name));
    RETURN_IF_ERROR(sources_.Open(request_, recipes));
    TellArchitecture(sources_.Of(*recipes[0]).summary(), context_.progress);
    ASSIGN_OR_RETURN(plan_options_, PlanOptions::Parse(request_.gguf));
    ASSIGN_OR_RETURN(std::vector<QuantizePlan> plans, MakePlans(recipes));
    const bool measures = MustMeasureImportance(request_, sources_.Of(*recipes[0]), plans);
    if (request_.quality.is_wanted) {
      RETURN_IF_ERROR(OpenMeter(measures));
    }
    if (measures) {
      RETURN_IF_ERROR(MeasureImportanceFor(recipes));
      ASSIGN_OR_RETURN(plans, MakePlans(recipes));
    } else {
      WarnOfOptionsWithoutImportance();
    }
    for (size_t i = 0; i < plans.size(); ++i) {
      RETURN_IF_ERROR(plans[i].missing_importance);
      outputs_.push_back(std::make_unique<LevelOutput>(
          request_, request_.outputs[i], sources_.Of(*recipes[i]), std::move(plans[i]), context_));
    }
    return WriteImportance();
  }

  absl::Status ChooseWalkDevice() {
    if (walk_device_) return absl::OkStatus();
    ASSIGN_OR_RETURN(walk_device_, WalkDevice::Choose(request_.device, context_.progress));
    return absl::OkStatus();
  }

  absl::Status OpenMeter(bool is_calibrated) {
    if (!request_.gguf.prune_layers.empty()) {
      return MakeError(Error::kInvalidArgument,
                       "quality is measured layer by layer: --report and --max-kld cannot be used "
                       "with --prune-layers");
    }
    ASSIGN_OR_RETURN(model_, OpenCalibratedModel(request_.model_path, request_.pre_tokenizer));
    RETURN_IF_ERROR(ChooseWalkDevice());
    ASSIGN_OR_RETURN(meter_,
                     QualityMeter::Open(request_, is_calibrated, *model_, *walk_device_, context_));
    return absl::OkStatus();
  }

  // In the order of the request. Refuses what must not be made.
  absl::StatusOr<std::vector<QuantizePlan>> MakePlans(const std::vector<const Recipe*>& recipes) {
    std::vector<QuantizePlan> plans;
    for (size_t i = 0; i < recipes.size(); ++i) {
      const fs::path path = fs::absolute(request_.outputs[i].path).lexically_normal();
      ASSIGN_OR_RETURN(QuantizePlan plan,
                       MakePlan(sources_.Of(*recipes[i]), *recipes[i], path, plan_options_));
      plans.push_back(std::move(plan));
    }
    RETURN_IF_ERROR(CheckOutputFiles(request_, plans));
    for (const QuantizePlan& plan : plans) RETURN_IF_ERROR(RefuseSubstitutions(plan));
    return plans;
  }

  // What would stop the job after the measuring is found before it: with a matrix some tensors get
  // other types.
  absl::Status MeasureImportanceFor(const std::vector<const Recipe*>& recipes) {
    plan_options_.selection.has_importance = true;
    ASSIGN_OR_RETURN(const std::vector<QuantizePlan> plans, MakePlans(recipes));
    DiskNeeds disk;
    for (size_t i = 0; i < plans.size(); ++i) {
      const bool may_be_ours = request_.outputs[i].previous || request_.retried;
      for (const OutputFile& file : plans[i].files) {
        if (Exists(file.path) && !request_.overwrite) {
          if (!may_be_ours) return OutputIsThere(file.path);
          continue;
        }
        disk.Add(file.path.parent_path(), MissingBytes(PartPath(file.path), file.size_bytes));
      }
    }
    RETURN_IF_ERROR(disk.Check());
    if (!model_) {
      ASSIGN_OR_RETURN(model_, OpenMeasuredModel(request_));
    }
    RETURN_IF_ERROR(ChooseWalkDevice());
    ASSIGN_OR_RETURN(measured_, MeasureImportance(request_, *model_, *walk_device_, context_));
    if (!meter_) walk_device_->Close();  // what encodes takes its memory next
    for (const std::string& note : measured_->notes) context_.progress.OnWarning(note);
    return plan_options_.UseImportance(measured_->file, request_.gguf.imatrix_out_name,
                                       request_.gguf);
  }

  void WarnOfOptionsWithoutImportance() const {
    const GgufOptions& options = request_.gguf;
    if (!options.imatrix_paths.empty()) return;
    if (request_.calibration.is_given && !request_.quality.is_wanted) {
      context_.progress.OnWarning(
          "options of calibration have no effect: no level here needs an importance matrix; "
          "--calibration-data or --imatrix-out has one measured");
    }
    if (!options.include_weights.empty() || !options.exclude_weights.empty()) {
      context_.progress.OnWarning(
          "--include-weights and --exclude-weights have no effect without an importance matrix");
    }
  }

  // The matrix goes to --imatrix-out before any level is made: it is of use without them, too.
  absl::Status WriteImportance() const {
    const fs::path& path = request_.gguf.imatrix_out;
    if (path.empty()) return absl::OkStatus();
    ImportanceFile file;
    if (measured_) {
      file = measured_->file;
    } else {
      ASSIGN_OR_RETURN(file, ReadImportance(request_.gguf));
    }
    ASSIGN_OR_RETURN(const std::string bytes, ImportanceBytes(file, path));
    if (Exists(path) && !request_.overwrite) {
      const absl::StatusOr<std::string> there = ReadFile(path, bytes.size());
      if (there.ok() && *there == bytes) return absl::OkStatus();
      return MatrixIsThere(path);
    }
    RETURN_IF_ERROR(CreateDirectories(fs::absolute(path).parent_path()));
    return WriteFileAtomically(path, bytes);
  }

  absl::Status RefuseSubstitutions(const QuantizePlan& plan) const {
    if (!request_.strict || plan.substitutions.empty()) return absl::OkStatus();
    const SubstitutedType& first = plan.substitutions[0];
    return MakeError(
        Error::kValidationFailed,
        StrCat(plan.substitutions.size(), " tensors cannot be what ", plan.recipe->name,
               " makes of them; the first, ", first.tensor, ", would be ", first.used_type,
               " instead of ", first.wanted_type, ": ", first.why),
        "Leave out --strict to accept other types");
  }

  absl::Status CheckRoom() {
    for (const Pass& pass : Passes()) {
      std::vector<const QuantizePlan*> plans;
      for (const LevelOutput* output : pass.outputs) plans.push_back(&output->plan());
      const size_t threads = context_.threads.size();
      RETURN_IF_ERROR(
          CheckThreadsMemory(PlannedMemoryBytes(plans, threads), "quantizing", threads));
    }
    DiskNeeds disk;
    for (const auto& output : outputs_) {
      disk.Add(output->folder().path(), output->MissingDiskBytes());
    }
    return disk.Check();
  }

  absl::Status OpenDevice() {
    std::vector<const QuantizePlan*> plans;
    for (const auto& output : outputs_) {
      if (output->is_open()) plans.push_back(&output->plan());
    }
    return device_.Open(plans, context_.threads.size(), context_.progress);
  }

  absl::Status StartOutputs() {
    std::vector<LevelOutput*> open;
    std::vector<CheckpointOwner> owners;
    for (const auto& output : outputs_) {
      if (!output->is_open()) continue;
      open.push_back(output.get());
      owners.push_back(output->owner());
    }
    ASSIGN_OR_RETURN(const std::vector<CheckpointOptions> options,
                     OptionsOfEach(request_.checkpoint, owners));
    for (size_t i = 0; i < open.size(); ++i) open[i]->Start(options[i]);
    return FirstFailure();
  }

  // The open outputs, those of one source together.
  std::vector<Pass> Passes() {
    std::vector<Pass> passes;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (!outputs_[i]->is_open()) continue;
      const ModelSource* source = &outputs_[i]->source();
      auto pass = std::find_if(passes.begin(), passes.end(),
                               [source](const Pass& one) { return one.source == source; });
      if (pass == passes.end()) pass = passes.insert(pass, Pass{source, {}, {}, &device_});
      pass->progress_parts.push_back(i);
      pass->outputs.push_back(outputs_[i].get());
    }
    return passes;
  }

  // One line for each kind of substitution, with an example.
  void WarnOfSubstitutions() {
    for (const auto& output : outputs_) {
      if (!output->is_open()) continue;
      const QuantizePlan& plan = output->plan();
      std::map<std::tuple<std::string, std::string, std::string>, std::vector<std::string>> kinds;
      for (const SubstitutedType& s : plan.substitutions) {
        kinds[{s.wanted_type, s.used_type, s.why}].push_back(s.tensor);
      }
      for (const auto& [kind, tensors] : kinds) {
        const auto& [wanted, used, why] = kind;
        context_.progress.OnWarning(StrCat(
            outputs_.size() > 1 ? StrCat(plan.recipe->name, ": ") : "",
            tensors.size() == 1 ? StrCat("tensor ", tensors[0], " is ")
                                : StrCat(tensors.size(), " tensors (", tensors[0], ", …) are "),
            used, " instead of ", wanted, ": ", why));
      }
    }
  }

  void Encode() {
    context_.progress.OnPhase(Phase::kQuantize);
    std::string levels;
    std::vector<LayerProgress::Part> parts;
    std::vector<Pass> passes = Passes();
    for (size_t p = 0; p < passes.size(); ++p) {
      for (size_t i = 0; i < passes[p].outputs.size(); ++i) {
        const LevelOutput& output = *passes[p].outputs[i];
        passes[p].progress_parts[i] = parts.size();
        parts.push_back({&output.plan(), output.reused(), p});
      }
    }
    for (const auto& output : outputs_) {
      if (output->is_open())
        levels += StrCat(levels.empty() ? "" : ", ", output->plan().recipe->name);
    }
    context_.progress.OnMessage(StrCat("Quantizing to GGUF ", levels));
    LayerProgress progress(parts, context_.progress);
    for (const Pass& pass : passes) {
      const absl::Status walk = EncodeOutputs(pass, progress, context_);
      for (LevelOutput* output : pass.outputs) {
        if (device_.EncodesAnyOf(output->plan())) {
          output->NoteDevice(device_.name(), device_.memory_bytes());
        }
        output->FinishEncoding(walk);
      }
    }
    device_.Close();
  }

  void Assess() {
    context_.progress.OnPhase(Phase::kAssess);
    for (const auto& output : outputs_) {
      output->Assess(*meter_, *model_, measured_ ? measured_->calibration : CalibrationSummary());
    }
  }

  void Validate() {
    context_.progress.OnPhase(Phase::kValidate);
    context_.progress.OnMessage("Validating output...");
    for (const auto& output : outputs_) output->Validate();
  }

  void Publish() {
    context_.progress.OnPhase(Phase::kPublish);
    for (const auto& output : outputs_) output->Publish();
  }

  bool HasOpen() const {
    return std::any_of(outputs_.begin(), outputs_.end(),
                       [](const auto& output) { return output->is_open(); });
  }

  absl::Status FirstFailure() const {
    for (const auto& output : outputs_) RETURN_IF_ERROR(output->status());
    return absl::OkStatus();
  }

  void FailAll(const absl::Status& status) {
    for (const auto& output : outputs_) output->Fail(status);
  }

  void CleanUp() {
    for (const auto& output : outputs_) output->CleanUp();
  }

  QuantizeOutcome Outcome() const {
    QuantizeOutcome outcome;
    outcome.status = FirstFailure();
    for (const auto& output : outputs_) {
      if (!output->status().ok()) continue;
      QuantizeResult& result = outcome.finished.emplace_back(output->result());
      if (walk_device_) NoteWalkDevice(result);
      if (!measured_) continue;
      result.calibration = measured_->calibration;
      result.notes = measured_->notes;
    }
    return outcome;
  }

  void NoteWalkDevice(QuantizeResult& result) const {
    if (walk_device_->memory_bytes() == 0) return;
    result.device = walk_device_->name();
    // For a meter it stays open while blocks are encoded.
    const uint64_t encoding_bytes = result.device_memory_bytes;
    result.device_memory_bytes = meter_ ? encoding_bytes + walk_device_->memory_bytes()
                                        : std::max(encoding_bytes, walk_device_->memory_bytes());
  }

  const QuantizeRequest& request_;
  JobContext& context_;
  EncodeDevice device_;
  ModelSources sources_;
  std::optional<MeasuredImportance> measured_;
  std::optional<CalibratedModel> model_;   // where it is run on text
  std::optional<WalkDevice> walk_device_;  // the same
  std::optional<QualityMeter> meter_;
  PlanOptions plan_options_;  // the plans point into its matrix
  Outputs outputs_;
};

}  // namespace

QuantizeOutcome Quantize(const QuantizeRequest& request, JobContext& context) {
  return QuantizeJob(request, context).Run();
}

}  // namespace quantized
