// The folder that a job of format awq or gptq makes: OUTPUT.part/ with its weight files, whose
// tensors are written at their final offsets layer by layer, its checkpoint, and the step to the
// final name. What a crash may leave: docs/formats/checkpoint.md, "Folders".
// Belongs to the job's thread; what writes tensors is thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/packed/quantized_linear.h"
#include "core/pipeline/checkpoint.h"
#include "core/pipeline/directory_plan.h"
#include "core/pipeline/file_list.h"
#include "core/pipeline/output_folder.h"
#include "core/pipeline/quantize.h"

namespace quantized {

// The model card, which its owner may edit: it is in no list of files.
inline constexpr std::string_view kCardFile = "README.md";

class DirectoryOutput {
 public:
  // All arguments must outlive *this.
  DirectoryOutput(const QuantizeRequest& request, const DirectoryPlan& plan, JobContext& context);

  // Whether the output is there already, made by a job of this fingerprint, every file that it
  // wrote as it was: then its provenance, else nothing. Reads all of them. Errors: kInvalidArgument
  // where something else is there and may not be replaced; kIo, kCancelled.
  absl::StatusOr<std::optional<std::string>> FindExisting();
  // The output stands: removes what a job left that died between its renaming and its end, its
  // checkpoint and the output that it replaced.
  void RemoveLeftovers();
  uint64_t MissingDiskBytes() const;
  const OutputFolder& folder() const { return folder_; }

  // Makes OUTPUT.part ready and locks it; what the checkpoint has stays. `options` are those of
  // this output (OptionsOfEach). Errors: kCheckpoint, kIo, kDiskFull.
  absl::Status Start(const CheckpointOptions& options);
  // Units that are there from an earlier attempt: 0 and so many layers, without a hole.
  size_t reused_units() const { return reused_units_; }

  // The weight files as far as they are made.
  std::filesystem::path part_path() const;

  // Where the walk over the layers is saved between two of them; empty without checkpoints.
  std::filesystem::path walk_path() const;

  // Puts a tensor's bytes where they belong: all of them, or those from `first_byte` on.
  absl::Status Write(const std::string& name, std::span<const std::byte> bytes);
  absl::Status WritePiece(const std::string& name, uint64_t first_byte,
                          std::span<const std::byte> bytes);
  // The tensors that stand for a linear, packed as the plan's format has them. Returns their bytes.
  // Errors: those of PackAwq and PackGptq, kIo, kDiskFull.
  absl::StatusOr<uint64_t> WriteLinear(const std::string& module, const QuantizedLinear& linear);
  // All tensors of the unit are written: notes it in the checkpoint.
  absl::Status FinishUnit(size_t unit);
  // A file beside the weights; one whose name begins with a dot is gone before the output is done.
  absl::Status WriteFile(std::string_view name, std::string_view text);
  // `names` of the folder `from`. Errors: those of CopyFiles in core/packed/companion_files.h.
  absl::Status CopyFiles(const std::filesystem::path& from, const std::vector<std::string>& names);
  // What llm-quantize.json says, but for the list of files.
  void SetProvenance(nlohmann::json provenance) { provenance_ = std::move(provenance); }

  // Reads everything again: each unit's bytes have the hash with which they were written, each
  // packed linear is sound. Then all is there, and llm-quantize.json is written. Errors:
  // kValidationFailed, kIo, kDiskFull, kCancelled.
  absl::Status Validate();
  absl::Status Publish();
  // After a failure with `status`. `may_be_wanted`: what is made is whole, and stays although it
  // failed.
  void CleanUp(const absl::Status& status, bool may_be_wanted);

 private:
  absl::StatusOr<uint64_t> HashOfUnit(size_t unit) const;
  absl::Status CheckHash(size_t unit, uint64_t found) const;
  bool IsSplit(size_t unit) const;
  absl::StatusOr<FileDigest> ReadBack(size_t file) const;
  // `is_foreign`: the part is another job's.
  absl::Status TakeOver(bool is_foreign, std::vector<UnitRecord>& kept);
  std::string PartOwner() const;
  absl::Status RemoveForeignFiles() const;
  uint64_t UnitBytes(size_t unit) const;

  const QuantizeRequest& request_;
  const DirectoryPlan& plan_;
  JobContext& context_;
  const CheckpointOwner owner_;
  OutputFolder folder_;
  CheckpointOptions checkpoint_options_;
  std::filesystem::path checkpoint_folder_;
  bool part_is_ours_ = false;
  size_t reused_units_ = 0;
  std::vector<File> files_;
  std::vector<uint64_t> hashes_;  // of each finished unit
  std::set<std::string> beside_;  // files for the list, besides those of weights
  nlohmann::json provenance_;
  std::unique_ptr<Checkpoint> checkpoint_;  // before files_ in destruction
};

}  // namespace quantized
