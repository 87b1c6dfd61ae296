// The checkpoint of a job: DIRECTORY/FINGERPRINT/ with `job.json` (what it belongs to) and
// `journal` (which units are finished). The bytes themselves lie in the output's .part files, whose
// locks (core/pipeline/part_file.h) also guard the checkpoint. Format, order of writes and what a
// crash may leave: docs/formats/checkpoint.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/mutex.h"
#include "core/pipeline/journal.h"
#include "core/pipeline/quantize.h"

namespace quantized {

// What a checkpoint belongs to. The fingerprint decides; the rest is for people.
struct CheckpointOwner {
  std::string fingerprint;
  std::string model, level, output_path;
};

// The folder where this job's checkpoint is or will be. Errors: kCheckpoint where
// options.resume_from names one that is not there or belongs to another job (both are named).
absl::StatusOr<std::filesystem::path> LocateCheckpoint(const CheckpointOptions& options,
                                                       const CheckpointOwner& owner);

// The options of each output of a job that has these: an output whose checkpoint is not where
// options.resume_from says starts anew beside those that are. Errors: kCheckpoint where none is
// there.
absl::StatusOr<std::vector<CheckpointOptions>> OptionsOfEach(
    const CheckpointOptions& options, std::span<const CheckpointOwner> owners);

// What the checkpoint in `folder` says; nothing where there is none. Errors: kCheckpoint where it
// is damaged or belongs to another job.
absl::StatusOr<std::optional<JournalContents>> LoadCheckpoint(const std::filesystem::path& folder,
                                                              const CheckpointOwner& owner);

// Removes the checkpoints beside `folder` that belong to other jobs with this output path: their
// bytes are about to be overwritten.
void RemoveStaleCheckpoints(const std::filesystem::path& folder, const CheckpointOwner& owner);

// Removes the checkpoint; and the folder around it if a checkpoint made that and it is empty now.
absl::Status RemoveCheckpoint(const std::filesystem::path& folder);

// A checkpoint that is being written. A thread of its own makes data and journal durable each
// second or 64 MiB, first the data.
class Checkpoint {
 public:
  // Called with the number of durable units, from the checkpoint's thread.
  using OnSynced = std::function<void(uint64_t units)>;

  // Makes the folder where it is missing, and a journal of `units`, whose bytes are in `parts`
  // already. `parts` must outlive the result.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Start(const std::filesystem::path& folder,
                                                           const CheckpointOwner& owner,
                                                           std::span<const UnitRecord> units,
                                                           std::span<File> parts,
                                                           OnSynced on_synced);
  // Stops the thread. What is not synced stays so; the files stay.
  ~Checkpoint();

  // Notes a unit whose bytes have been written to a part. Thread-safe. Errors: kIo, kDiskFull; also
  // those that the syncing thread met since.
  absl::Status Append(const UnitRecord& unit);

  // Makes everything appended durable.
  absl::Status Sync();

 private:
  Checkpoint(File journal, uint64_t journal_bytes, std::string fingerprint, size_t units,
             std::span<File> parts, OnSynced on_synced);
  void SyncEachSecond();
  absl::Status WriteLine(const std::string& line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string fingerprint_;
  const std::span<File> parts_;
  const OnSynced on_synced_;

  Mutex sync_mutex_;  // held while syncing; taken before mutex_
  Mutex mutex_;
  CondVar changed_;
  File journal_;
  uint64_t journal_bytes_ ABSL_GUARDED_BY(mutex_);
  size_t units_ ABSL_GUARDED_BY(mutex_);  // lines in the journal
  size_t synced_units_ ABSL_GUARDED_BY(mutex_);
  uint64_t unsynced_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace quantized
