#include "core/pipeline/level_output.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/forward/gguf_tensor_source.h"
#include "core/pipeline/output_guard.h"
#include "core/pipeline/part_file.h"
#include "core/pipeline/resume.h"
#include "core/pipeline/validate.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

bool IsEmptyOrAbsent(const fs::path& path) {
  std::error_code absent;
  return fs::file_size(path, absent) == 0 || absent;
}

}  // namespace

LevelOutput::LevelOutput(const QuantizeRequest& request, const OutputRequest& output,
                         const ModelSource& source, QuantizePlan plan, JobContext& context)
    : request_(request),
      output_(output),
      source_(source),
      context_(context),
      plan_(std::move(plan)),
      owner_{plan_.fingerprint, request.model_name, std::string(plan_.recipe->name),
             plan_.output_path.string()},
      checkpoint_options_(request.checkpoint),
      folder_(plan_.files[0].path.parent_path()),
      hasher_(plan_.tensors),
      hashes_(plan_.tensors.size(), 0),
      reused_(plan_.tensors.size(), 0) {}

void LevelOutput::Do(const std::function<absl::Status()>& step) {
  if (!is_open()) return;
  if (absl::Status status = step(); !status.ok()) Fail(std::move(status));
}

void LevelOutput::Fail(absl::Status status) {
  if (is_open()) status_ = std::move(status);
}

void LevelOutput::CheckExisting() {
  Do([this] { return LookForOutput(); });
}

// The first of the final names that is taken.
std::optional<fs::path> LevelOutput::TakenName() const {
  for (const OutputFile& file : plan_.files) {
    if (Exists(file.path)) return file.path;
  }
  return std::nullopt;
}

absl::Status LevelOutput::LookForOutput() {
  const std::optional<fs::path> taken = TakenName();
  if (!taken) return absl::OkStatus();
  RETURN_IF_ERROR(CheckReplaceable(*taken, OutputKind::kFile));
  ASSIGN_OR_RETURN(const bool published, WasPublishedByThisJob());
  if (published) {
    result_ = MakeResult();
    return absl::OkStatus();
  }
  if (request_.overwrite) return absl::OkStatus();
  const bool same_job = output_.previous && output_.previous->fingerprint == plan_.fingerprint;
  if (same_job || request_.retried) {
    ASSIGN_OR_RETURN(const bool valid, IsValidOutput());
    if (valid) {
      RemoveLeftCheckpoint();
      result_ = same_job ? *output_.previous : MakeResult();
      result_->already_done = same_job;
      return absl::OkStatus();
    }
  }
  return OutputIsThere(*taken);
}

// Whether an earlier attempt died after it began to rename: the journal is complete, each file is
// either still a part or has its final name, and all are what the journal says. Finishes what it
// left to do then.
absl::StatusOr<bool> LevelOutput::WasPublishedByThisJob() {
  if (!checkpoint_options_.enabled) return false;
  std::vector<File> files;
  size_t renamed = 0;
  for (const OutputFile& file : plan_.files) {
    const bool is_renamed = IsEmptyOrAbsent(PartPath(file.path));
    if (is_renamed && !Exists(file.path)) return false;
    ASSIGN_OR_RETURN(File opened, File::OpenForRead(is_renamed ? file.path : PartPath(file.path)));
    files.push_back(std::move(opened));
    renamed += is_renamed ? 1 : 0;
  }
  if (renamed == 0) return false;
  const absl::StatusOr<fs::path> folder = LocateCheckpoint(checkpoint_options_, owner_);
  if (!folder.ok()) return false;
  const auto found = LoadCheckpoint(*folder, owner_);
  if (!found.ok() || !*found) return false;
  const std::vector<uint64_t> hashes = HashesIfComplete(**found, plan_);
  if (hashes.empty()) return false;
  ASSIGN_OR_RETURN(const bool valid, IsValid(files, hashes));
  if (!valid) return false;
  RETURN_IF_ERROR(RenameParts());
  parts_are_ours_ = true;  // what is left of them is empty
  std::fill(reused_.begin(), reused_.end(), 1);
  RemoveFinishedCheckpoint(*folder);
  return true;
}

// The output stands, and a checkpoint that stays beside it says the same: no reason to fail.
void LevelOutput::RemoveFinishedCheckpoint(const fs::path& folder) {
  if (const absl::Status status = RemoveCheckpoint(folder); !status.ok()) {
    context_.progress.OnWarning(std::string(status.message()));
  }
}

// An attempt that published may have died while it removed its checkpoint.
void LevelOutput::RemoveLeftCheckpoint() {
  if (!checkpoint_options_.enabled) return;
  const absl::StatusOr<fs::path> folder = LocateCheckpoint(checkpoint_options_, owner_);
  if (!folder.ok()) return;
  RemoveFinishedCheckpoint(*folder);
  // Whether the folder around it was made for it is no longer known then.
  std::error_code not_empty;
  fs::remove(folder->parent_path(), not_empty);
}

// Errors: all but kValidationFailed.
absl::StatusOr<bool> LevelOutput::IsValid(std::span<const File> files,
                                          std::span<const uint64_t> hashes) {
  const absl::Status status = ValidateOutput(files, plan_, source_, hashes, context_);
  if (!status.ok() && ErrorOf(status) != Error::kValidationFailed) return status;
  return status.ok();
}

absl::StatusOr<bool> LevelOutput::IsValidOutput() {
  std::vector<File> files;
  for (const OutputFile& file : plan_.files) {
    if (!Exists(file.path)) return false;
    ASSIGN_OR_RETURN(File opened, File::OpenForRead(file.path));
    files.push_back(std::move(opened));
  }
  return IsValid(files, {});
}

void LevelOutput::Start(const CheckpointOptions& options) {
  Do([&]() -> absl::Status {
    checkpoint_options_ = options;
    RETURN_IF_ERROR(OpenParts());
    // Whoever held the locks until now may have published the same output.
    RETURN_IF_ERROR(LookForOutput());
    return result_ ? RemoveParts() : FillParts();
  });
}

absl::Status LevelOutput::OpenParts() {
  if (checkpoint_options_.enabled) {
    ASSIGN_OR_RETURN(checkpoint_folder_, LocateCheckpoint(checkpoint_options_, owner_));
  }
  RETURN_IF_ERROR(folder_.Create());
  parts_are_ours_ = true;
  for (const OutputFile& file : plan_.files) {
    ASSIGN_OR_RETURN(File part, OpenLocked(PartPath(file.path), context_));
    ASSIGN_OR_RETURN(const uint64_t part_bytes, part.SizeBytes());
    parts_are_ours_ = parts_are_ours_ && part_bytes == 0;
    parts_.push_back(std::move(part));
  }
  return absl::OkStatus();
}

absl::Status LevelOutput::FillParts() {
  std::vector<UnitRecord> kept;
  if (checkpoint_options_.enabled) {
    const bool must_resume = !checkpoint_options_.resume_from.empty();
    ASSIGN_OR_RETURN(ReusableUnits found, FindReusableUnits(checkpoint_folder_, owner_, parts_,
                                                            plan_, must_resume, context_));
    kept = std::move(found.units);
    hashes_ = std::move(found.hashes);
    reused_ = std::move(found.reused);
  }
  parts_are_ours_ = true;
  has_reused_ = !kept.empty();
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (!has_reused_) {
      RETURN_IF_ERROR(parts_[i].Truncate(0));
    }
    RETURN_IF_ERROR(parts_[i].Allocate(plan_.files[i].size_bytes));
    RETURN_IF_ERROR(parts_[i].WriteAt(0, std::as_bytes(std::span(plan_.files[i].header))));
  }
  if (!checkpoint_options_.enabled) return absl::OkStatus();
  RemoveStaleCheckpoints(checkpoint_folder_, owner_);
  ASSIGN_OR_RETURN(checkpoint_,
                   Checkpoint::Start(checkpoint_folder_, owner_, kept, parts_, [this](uint64_t n) {
                     context_.progress.OnCheckpoint(n, checkpoint_folder_);
                   }));
  return absl::OkStatus();
}

bool LevelOutput::Wants(const Slice& slice) const {
  if (!is_open() || reused_[slice.tensor] != 0) return false;
  MutexLock lock(mutex_);
  return !failed_at_ || std::pair(slice.tensor, slice.index) < *failed_at_;
}

absl::StatusOr<bool> LevelOutput::Write(const Slice& slice, std::span<const std::byte> bytes) {
  const OutputTensor& tensor = plan_.tensors[slice.tensor];
  const uint64_t row_bytes = tensor.size_bytes / tensor.rows;
  RETURN_IF_ERROR(parts_[tensor.file].WriteAt(tensor.offset + slice.first_row * row_bytes, bytes));
  const std::optional<uint64_t> hash = hasher_.Add(slice, bytes);
  if (!hash) return false;
  hashes_[slice.tensor] = *hash;
  if (checkpoint_) {
    RETURN_IF_ERROR(checkpoint_->Append({slice.tensor, tensor.offset, tensor.size_bytes, *hash}));
  }
  return true;
}

void LevelOutput::FailAt(const Slice& slice, absl::Status status) {
  MutexLock lock(mutex_);
  const std::pair place(slice.tensor, slice.index);
  if (failed_at_ && *failed_at_ < place) return;
  failed_at_ = place;
  encode_status_ = std::move(status);
}

void LevelOutput::NoteDevice(std::string name, uint64_t memory_bytes) {
  device_ = std::move(name);
  device_memory_bytes_ = memory_bytes;
}

void LevelOutput::FinishEncoding(const absl::Status& walk) {
  Do([&]() -> absl::Status {
    {
      MutexLock lock(mutex_);
      RETURN_IF_ERROR(encode_status_);
    }
    RETURN_IF_ERROR(walk);
    // From here on the journal is complete and durable: it tells a later attempt that a renamed
    // output is this job's.
    return checkpoint_ ? checkpoint_->Sync() : absl::OkStatus();
  });
}

void LevelOutput::Assess(const QualityMeter& meter, const CalibratedModel& model,
                         const CalibrationSummary& calibration) {
  const auto assess = [&]() -> absl::Status {
    std::vector<fs::path> files;
    for (const OutputFile& file : plan_.files) {
      files.push_back(result_ ? file.path : PartPath(file.path));
    }
    ASSIGN_OR_RETURN(const auto quantized, GgufTensorSource::Open(files, model.config));
    ASSIGN_OR_RETURN(quality_, meter.Measure(*quantized, {.output_path = plan_.output_path,
                                                          .level = std::string(plan_.recipe->name),
                                                          .bits_per_weight = plan_.bits_per_weight,
                                                          .size_bytes = plan_.SizeBytes(),
                                                          .calibration = calibration}));
    if (result_) result_->quality = quality_;
    return meter.CheckLimit(*quality_, std::string(plan_.recipe->name));
  };
  if (!status_.ok()) return;
  if (absl::Status status = assess(); !status.ok()) {
    is_whole_ = true;
    result_.reset();
    Fail(std::move(status));
  }
}

void LevelOutput::Validate() {
  Do([this] { return ValidateOutput(parts_, plan_, source_, hashes_, context_); });
}

void LevelOutput::Publish() {
  Do([this]() -> absl::Status {
    RETURN_IF_ERROR(context_.CheckStopped());
    const std::optional<fs::path> taken = TakenName();
    if (taken && !request_.overwrite) {
      return MakeError(Error::kInvalidArgument,
                       StrCat("the output ", taken->string(), " has appeared while it was made"),
                       "Use --overwrite to replace it, or choose another name");
    }
    for (File& part : parts_) RETURN_IF_ERROR(part.Sync());
    RETURN_IF_ERROR(RenameParts());
    result_ = MakeResult();
    if (!checkpoint_) return absl::OkStatus();
    checkpoint_.reset();
    RemoveFinishedCheckpoint(checkpoint_folder_);
    return absl::OkStatus();
  });
}

// Gives all parts that are there their final names, the first file last: it is the one that loaders
// open, so that a split model is there wholly or not at all.
absl::Status LevelOutput::RenameParts() {
  for (size_t i = plan_.files.size(); i-- > 0;) {
    const fs::path part = PartPath(plan_.files[i].path);
    if (IsEmptyOrAbsent(part)) continue;
    RETURN_IF_ERROR(RenameDurably(part, plan_.files[i].path));
  }
  return absl::OkStatus();
}

absl::Status LevelOutput::RemoveParts() {
  if (!parts_are_ours_) return absl::OkStatus();
  for (const OutputFile& file : plan_.files) RETURN_IF_ERROR(RemoveAll(PartPath(file.path)));
  return absl::OkStatus();
}

void LevelOutput::CleanUp() {
  if (status_.ok()) return;
  const bool resumable = checkpoint_ || has_reused_;
  if (resumable && (is_whole_ || ErrorOf(status_) != Error::kValidationFailed)) {
    if (checkpoint_) checkpoint_->Sync().IgnoreError();
    return;
  }
  if (resumable) {
    checkpoint_.reset();
    RemoveCheckpoint(checkpoint_folder_).IgnoreError();
  }
  if (!parts_.empty()) RemoveParts().IgnoreError();
  folder_.RemoveCreated();
}

uint64_t LevelOutput::MissingDiskBytes() const {
  if (!is_open()) return 0;
  uint64_t missing = 0;
  for (const OutputFile& file : plan_.files) {
    missing += MissingBytes(PartPath(file.path), file.size_bytes);
  }
  return missing;
}

QuantizeResult LevelOutput::MakeResult() const {
  const ModelSummary& model = source_.summary();
  QuantizeResult result;
  result.output_path = plan_.output_path;
  result.level = plan_.recipe->name;
  result.fingerprint = plan_.fingerprint;
  result.original_dtype = model.dtype;
  result.original_size_bytes = model.size_bytes;
  result.file_size_bytes = plan_.SizeBytes();
  result.tensors = plan_.tensors.size();
  result.layers_processed = plan_.layers;
  result.units_reused = static_cast<uint64_t>(std::count(reused_.begin(), reused_.end(), 1));
  result.bits_per_weight = plan_.bits_per_weight;
  result.substitutions = plan_.substitutions;
  result.device = device_;
  result.device_memory_bytes = device_memory_bytes_;
  result.quality = quality_;
  if (plan_.files[0].path != plan_.output_path) {
    for (const OutputFile& file : plan_.files) result.files.push_back(file.path);
  }
  return result;
}

}  // namespace quantized
