#include "core/pipeline/quantize.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/checkpoint.h"
#include "core/pipeline/encode.h"
#include "core/pipeline/output_folder.h"
#include "core/pipeline/part_file.h"
#include "core/pipeline/plan.h"
#include "core/pipeline/progress.h"
#include "core/pipeline/resume.h"
#include "core/pipeline/room.h"
#include "core/pipeline/validate.h"
#include "core/quantize/levels.h"
#include "core/source/model_source.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// One run of a job, step by step; Run tells the order.
class QuantizeJob {
 public:
  QuantizeJob(const QuantizeRequest& request, const OutputRequest& output, JobContext& context)
      : request_(request),
        output_(output),
        context_(context),
        output_path_(fs::absolute(output.path).lexically_normal()),
        part_path_(PartPath(output_path_)),
        output_folder_(output_path_.parent_path()) {}

  absl::StatusOr<QuantizeResult> Run() {
    absl::StatusOr<QuantizeResult> result = RunSteps();
    if (!result.ok()) CleanUp(ErrorOf(result.status()));
    return result;
  }

 private:
  absl::StatusOr<QuantizeResult> RunSteps() {
    context_.progress.OnPhase(Phase::kProbe);
    RETURN_IF_ERROR(OpenAndPlan());
    ASSIGN_OR_RETURN(std::optional<QuantizeResult> done, CheckExistingOutput());
    if (done) return *done;
    RETURN_IF_ERROR(CheckMemory(plan_, context_.threads.size()));
    RETURN_IF_ERROR(CheckDisk(plan_, output_folder_.Existing(), part_path_));

    context_.progress.OnPhase(Phase::kLoad);
    RETURN_IF_ERROR(OpenPart());
    // Whoever held the lock until now may have published the same output.
    ASSIGN_OR_RETURN(done, CheckExistingOutput());
    if (done) {
      RETURN_IF_ERROR(DiscardPart());
      return *done;
    }
    RETURN_IF_ERROR(StartPart());
    WarnOfSubstitutions();

    context_.progress.OnPhase(Phase::kQuantize);
    context_.progress.OnMessage(StrCat("Quantizing to GGUF ", plan_.recipe->name));
    RETURN_IF_ERROR(Encode());

    context_.progress.OnPhase(Phase::kValidate);
    context_.progress.OnMessage("Validating output...");
    RETURN_IF_ERROR(ValidateOutput(part_, plan_, *source_, hashes_, context_));

    context_.progress.OnPhase(Phase::kPublish);
    RETURN_IF_ERROR(Publish());
    return Result();
  }

  absl::Status OpenAndPlan() {
    ASSIGN_OR_RETURN(const Recipe* recipe, FindRecipe(output_.level));
    context_.progress.OnMessage(StrCat("Loading model: ", request_.model_name));
    SourceOptions options;
    if (recipe->is_float()) options.conversion_type = recipe->default_type;
    options.pre_tokenizer = request_.pre_tokenizer;
    ASSIGN_OR_RETURN(source_, OpenModelSource(request_.model_path, options));
    const ModelSummary& summary = source_->summary();
    context_.progress.OnMessage(StrCat("Architecture: ", summary.architecture, " (",
                                       summary.num_layers,
                                       summary.num_layers == 1 ? " layer)" : " layers)"));
    std::error_code ignored;
    if (fs::equivalent(request_.model_path, output_path_, ignored)) {
      return MakeError(Error::kInvalidArgument,
                       StrCat("the output ", output_path_.string(),
                              " would replace the model that it is made from"),
                       "Choose another output name");
    }
    ASSIGN_OR_RETURN(plan_, MakePlan(*source_, *recipe, output_path_));
    hashes_.assign(plan_.tensors.size(), 0);
    reused_.assign(plan_.tensors.size(), 0);
    owner_ = {plan_.fingerprint, request_.model_name, std::string(recipe->name),
              output_path_.string()};
    return absl::OkStatus();
  }

  // The job's result where the output is there and needs no more work. Errors: kInvalidArgument
  // where it is there but is not this job's.
  absl::StatusOr<std::optional<QuantizeResult>> CheckExistingOutput() {
    if (!Exists(output_path_)) return std::nullopt;
    std::error_code ignored;
    if (fs::is_directory(output_path_, ignored)) {
      return MakeError(Error::kInvalidArgument,
                       StrCat("the output ", output_path_.string(), " is a folder"),
                       "Choose another output name");
    }
    ASSIGN_OR_RETURN(const bool published, WasPublishedByThisJob());
    if (published) return Result();
    if (request_.overwrite) return std::nullopt;
    const bool same_job = output_.previous && output_.previous->fingerprint == plan_.fingerprint;
    if (same_job || request_.retried) {
      ASSIGN_OR_RETURN(const bool valid, IsValidOutput({}));
      if (valid) RemoveLeftCheckpoint();
      if (valid && same_job) {
        QuantizeResult result = *output_.previous;
        result.already_done = true;
        return result;
      }
      if (valid) return Result();
    }
    return MakeError(Error::kInvalidArgument,
                     StrCat("the output ", output_path_.string(), " exists already"),
                     "Use --overwrite to replace it, or choose another name");
  }

  // Whether an earlier attempt died between the output's renaming and the removal of the
  // checkpoint: nothing is in the .part file, and the output is what the journal says. Removes the
  // checkpoint then.
  absl::StatusOr<bool> WasPublishedByThisJob() {
    std::error_code absent;
    const bool part_is_empty = fs::file_size(part_path_, absent) == 0 || absent;
    if (!request_.checkpoint.enabled || !part_is_empty) return false;
    const absl::StatusOr<fs::path> folder = LocateCheckpoint(request_.checkpoint, owner_);
    if (!folder.ok()) return false;
    const auto found = LoadCheckpoint(*folder, owner_);
    if (!found.ok() || !*found) return false;
    const std::vector<uint64_t> hashes = HashesIfComplete(**found, plan_);
    if (hashes.empty()) return false;
    ASSIGN_OR_RETURN(const bool valid, IsValidOutput(hashes));
    if (!valid) return false;
    std::fill(reused_.begin(), reused_.end(), 1);
    RemoveFinishedCheckpoint(*folder);
    return true;
  }

  // The output stands, and a checkpoint that stays beside it says the same: no reason to fail.
  void RemoveFinishedCheckpoint(const fs::path& folder) {
    if (const absl::Status status = RemoveCheckpoint(folder); !status.ok()) {
      context_.progress.OnWarning(std::string(status.message()));
    }
  }

  // An attempt that published may have died while it removed its checkpoint.
  void RemoveLeftCheckpoint() {
    if (!request_.checkpoint.enabled) return;
    const absl::StatusOr<fs::path> folder = LocateCheckpoint(request_.checkpoint, owner_);
    if (!folder.ok()) return;
    RemoveFinishedCheckpoint(*folder);
    // Whether the folder around it was made for it is no longer known then.
    std::error_code not_empty;
    fs::remove(folder->parent_path(), not_empty);
  }

  // Errors: all but kValidationFailed.
  absl::StatusOr<bool> IsValidOutput(std::span<const uint64_t> hashes) {
    ASSIGN_OR_RETURN(const File file, File::OpenForRead(output_path_));
    const absl::Status status = ValidateOutput(file, plan_, *source_, hashes, context_);
    if (!status.ok() && ErrorOf(status) != Error::kValidationFailed) return status;
    return status.ok();
  }

  absl::Status OpenPart() {
    if (request_.checkpoint.enabled) {
      ASSIGN_OR_RETURN(checkpoint_folder_, LocateCheckpoint(request_.checkpoint, owner_));
    }
    RETURN_IF_ERROR(output_folder_.Create());
    ASSIGN_OR_RETURN(part_, OpenLocked(part_path_, context_));
    ASSIGN_OR_RETURN(const uint64_t part_bytes, part_.SizeBytes());
    part_is_ours_ = part_bytes == 0;
    return absl::OkStatus();
  }

  // Makes the .part file ready: what a checkpoint has stays, all else is made anew.
  absl::Status StartPart() {
    std::vector<UnitRecord> kept;
    if (request_.checkpoint.enabled) {
      const bool must_resume = !request_.checkpoint.resume_from.empty();
      ASSIGN_OR_RETURN(ReusableUnits found, FindReusableUnits(checkpoint_folder_, owner_, part_,
                                                              plan_, must_resume, context_));
      kept = std::move(found.units);
      hashes_ = std::move(found.hashes);
      reused_ = std::move(found.reused);
    }
    part_is_ours_ = true;
    has_reused_ = !kept.empty();
    if (!has_reused_) {
      RETURN_IF_ERROR(part_.Truncate(0));
    }
    RETURN_IF_ERROR(part_.Allocate(plan_.file_size_bytes));
    RETURN_IF_ERROR(part_.WriteAt(0, std::as_bytes(std::span(plan_.header))));
    if (!request_.checkpoint.enabled) return absl::OkStatus();
    RemoveStaleCheckpoints(checkpoint_folder_, owner_);
    ASSIGN_OR_RETURN(checkpoint_,
                     Checkpoint::Start(checkpoint_folder_, owner_, kept, part_, [this](uint64_t n) {
                       context_.progress.OnCheckpoint(n, checkpoint_folder_);
                     }));
    return absl::OkStatus();
  }

  // One line for each kind of substitution, with an example.
  void WarnOfSubstitutions() {
    std::map<std::tuple<std::string, std::string, std::string>, std::vector<std::string>> kinds;
    for (const SubstitutedType& s : plan_.substitutions) {
      kinds[{s.wanted_type, s.used_type, s.why}].push_back(s.tensor);
    }
    for (const auto& [kind, tensors] : kinds) {
      const auto& [wanted, used, why] = kind;
      context_.progress.OnWarning(StrCat(
          tensors.size() == 1 ? StrCat("tensor ", tensors[0], " is ")
                              : StrCat(tensors.size(), " tensors (", tensors[0], ", …) are "),
          used, " instead of ", wanted, ": ", why));
    }
  }

  absl::Status Encode() {
    LayerProgress progress(plan_, reused_, context_.progress);
    EncodeEvents events;
    events.on_bytes = [&](uint64_t bytes) { progress.AddBytes(bytes); };
    events.on_unit = [&](const UnitRecord& unit) -> absl::Status {
      hashes_[unit.index] = unit.hash;
      if (checkpoint_) {
        RETURN_IF_ERROR(checkpoint_->Append(unit));
      }
      progress.FinishTensor(unit.index);
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(EncodeTensors(*source_, plan_, reused_, part_, events, context_));
    // From here on the journal is complete and durable: it tells a later attempt that a renamed
    // output is this job's.
    return checkpoint_ ? checkpoint_->Sync() : absl::OkStatus();
  }

  absl::Status Publish() {
    RETURN_IF_ERROR(context_.CheckStopped());
    if (!request_.overwrite && Exists(output_path_)) {
      return MakeError(
          Error::kInvalidArgument,
          StrCat("the output ", output_path_.string(), " has appeared while it was made"),
          "Use --overwrite to replace it, or choose another name");
    }
    RETURN_IF_ERROR(part_.Sync());
    RETURN_IF_ERROR(RenameDurably(part_path_, output_path_));
    if (!checkpoint_) return absl::OkStatus();
    checkpoint_.reset();
    RemoveFinishedCheckpoint(checkpoint_folder_);
    return absl::OkStatus();
  }

  absl::Status DiscardPart() {
    if (!part_is_ours_) return absl::OkStatus();
    return RemoveAll(part_path_);
  }

  // What a failed job leaves: docs/formats/checkpoint.md, "After a failure".
  void CleanUp(Error error) {
    if ((checkpoint_ || has_reused_) && error != Error::kValidationFailed) {
      if (checkpoint_) checkpoint_->Sync().IgnoreError();
      return;
    }
    if (checkpoint_ || has_reused_) {
      checkpoint_.reset();
      RemoveCheckpoint(checkpoint_folder_).IgnoreError();
    }
    if (part_is_ours_) RemoveAll(part_path_).IgnoreError();
    output_folder_.RemoveCreated();
  }

  QuantizeResult Result() const {
    QuantizeResult result;
    result.output_path = output_path_;
    result.level = plan_.recipe->name;
    result.fingerprint = plan_.fingerprint;
    result.original_dtype = source_->summary().dtype;
    result.original_size_bytes = source_->summary().size_bytes;
    result.file_size_bytes = plan_.file_size_bytes;
    result.tensors = plan_.tensors.size();
    result.layers_processed = plan_.layers;
    result.units_reused = static_cast<uint64_t>(std::count(reused_.begin(), reused_.end(), 1));
    result.bits_per_weight = plan_.bits_per_weight;
    result.substitutions = plan_.substitutions;
    return result;
  }

  const QuantizeRequest& request_;
  const OutputRequest& output_;
  JobContext& context_;
  const fs::path output_path_;
  const fs::path part_path_;
  OutputFolder output_folder_;
  std::unique_ptr<ModelSource> source_;
  QuantizePlan plan_;
  CheckpointOwner owner_;
  fs::path checkpoint_folder_;
  File part_;                               // locked while open
  bool part_is_ours_ = false;               // nothing of another run is in it any more
  bool has_reused_ = false;                 // tensors of an earlier run are in it
  std::vector<uint64_t> hashes_;            // of each tensor that is in part_
  std::vector<uint8_t> reused_;             // a flag for each tensor taken from the checkpoint
  std::unique_ptr<Checkpoint> checkpoint_;  // before part_ in destruction: it syncs that
};

}  // namespace

QuantizeOutcome Quantize(const QuantizeRequest& request, JobContext& context) {
  QuantizeOutcome outcome;
  for (const OutputRequest& output : request.outputs) {
    absl::StatusOr<QuantizeResult> result = QuantizeJob(request, output, context).Run();
    if (result.ok()) {
      outcome.finished.push_back(*std::move(result));
    } else {
      outcome.status.Update(result.status());
    }
  }
  return outcome;
}

}  // namespace quantized
