// One level of a job: its plan, its part files and its checkpoint, from "may it be made?" to the
// final name. Several of them share one walk over the source (core/pipeline/encode.h), and one that
// fails does not stop the others. What a crash may leave: docs/formats/checkpoint.md.
// Thread-safe where a function says so; the rest belongs to the job's thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/base/mutex.h"
#include "core/pipeline/checkpoint.h"
#include "core/pipeline/output_folder.h"
#include "core/pipeline/plan.h"
#include "core/pipeline/quality.h"
#include "core/pipeline/quantize.h"
#include "core/pipeline/slices.h"
#include "core/source/model_source.h"

namespace quantized {

class LevelOutput {
 public:
  // All arguments must outlive *this.
  LevelOutput(const QuantizeRequest& request, const OutputRequest& output,
              const ModelSource& source, QuantizePlan plan, JobContext& context);

  const CheckpointOwner& owner() const { return owner_; }

  const QuantizePlan& plan() const { return plan_; }
  const ModelSource& source() const { return source_; }
  OutputFolder& folder() { return folder_; }

  // The steps, in this order. A step does nothing once the output is finished or has failed; a step
  // that fails notes its error.

  // Looks for the output: finished if this job or an earlier one made it and it is valid. Errors:
  // kInvalidArgument where something else is there and may not be replaced.
  void CheckExisting();
  // Makes the part files ready: what the checkpoint has stays, all else is made anew. `options` are
  // the request's, or what OptionsOfEach made of them.
  void Start(const CheckpointOptions& options);
  // Where its blocks were encoded, for the result; "cpu" otherwise.
  void NoteDevice(std::string name, uint64_t memory_bytes);
  // After the walk over the source, which ended with `walk`: makes data and journal durable.
  void FinishEncoding(const absl::Status& walk);
  // Measures the result, also one that was there already.
  void Assess(const QualityMeter& meter, const CalibratedModel& model,
              const CalibrationSummary& calibration);
  void Validate();
  void Publish();
  // After a failure: what stays on disk is in docs/formats/checkpoint.md, "After a failure".
  void CleanUp();

  bool is_open() const { return status_.ok() && !result_; }  // neither finished nor failed
  const absl::Status& status() const { return status_; }
  void Fail(absl::Status status);
  // Of a finished output.
  const QuantizeResult& result() const { return *result_; }

  // ---- While it is encoded: thread-safe.

  // A flag for each tensor of the plan that is there already.
  std::span<const uint8_t> reused() const { return reused_; }
  // Whether this slice's bytes are still wanted.
  bool Wants(const Slice& slice) const;
  // Puts the bytes where they belong; notes the tensor when its last slice is there. Returns
  // whether it is.
  absl::StatusOr<bool> Write(const Slice& slice, std::span<const std::byte> bytes);
  // The output ends here: of several slices that fail, the first in order counts.
  void FailAt(const Slice& slice, absl::Status status);

  // Bytes of disk that are still to be claimed for it.
  uint64_t MissingDiskBytes() const;

 private:
  // A step: runs it and takes its error.
  void Do(const std::function<absl::Status()>& step);

  absl::Status LookForOutput();
  absl::StatusOr<bool> WasPublishedByThisJob();
  absl::StatusOr<bool> IsValid(std::span<const File> files, std::span<const uint64_t> hashes);
  absl::StatusOr<bool> IsValidOutput();
  void RemoveFinishedCheckpoint(const std::filesystem::path& folder);
  void RemoveLeftCheckpoint();
  absl::Status OpenParts();
  absl::Status FillParts();
  absl::Status RenameParts();
  absl::Status RemoveParts();
  std::optional<std::filesystem::path> TakenName() const;
  QuantizeResult MakeResult() const;

  const QuantizeRequest& request_;
  const OutputRequest& output_;
  const ModelSource& source_;
  JobContext& context_;
  const QuantizePlan plan_;
  const CheckpointOwner owner_;
  CheckpointOptions checkpoint_options_;
  OutputFolder folder_;
  UnitHasher hasher_;

  absl::Status status_;
  std::optional<QuantizeResult> result_;

  std::filesystem::path checkpoint_folder_;
  std::vector<File> parts_;       // one for each file of the plan; locked while open
  bool parts_are_ours_ = false;   // nothing of another run is in them any more
  bool has_reused_ = false;       // tensors of an earlier run are in them
  std::vector<uint64_t> hashes_;  // of each tensor that is in parts_
  std::optional<QualitySummary> quality_;
  bool is_whole_ = false;  // all is made, and sound: whatever measuring it comes to, it stays
  std::string device_ = "cpu";
  uint64_t device_memory_bytes_ = 0;
  std::vector<uint8_t> reused_;             // a flag for each tensor taken from the checkpoint
  std::unique_ptr<Checkpoint> checkpoint_;  // before parts_ in destruction: it syncs them

  mutable Mutex mutex_;
  std::optional<std::pair<size_t, uint64_t>> failed_at_ ABSL_GUARDED_BY(mutex_);
  absl::Status encode_status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quantized
