// What a job can take over from its checkpoint and part files instead of making it again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/pipeline/checkpoint.h"
#include "core/pipeline/journal.h"
#include "core/pipeline/plan.h"

namespace quantized {

struct ReusableUnits {
  std::vector<UnitRecord> units;
  // One for each tensor of the plan.
  std::vector<uint8_t> reused;   // whether it is among the units
  std::vector<uint64_t> hashes;  // where it is
};

// The units of `owner`'s checkpoint in `folder` whose bytes are in `parts` (one for each file of
// the plan), each read and hashed. None where there is no checkpoint, nor (with a warning) where a
// part is empty and `must_resume` is false. Errors: kCheckpoint where the checkpoint is damaged,
// synced units are not what it says, or a part is empty and `must_resume`; kIo, kCancelled.
absl::StatusOr<ReusableUnits> FindReusableUnits(const std::filesystem::path& folder,
                                                const CheckpointOwner& owner,
                                                std::span<const File> parts,
                                                const QuantizePlan& plan, bool must_resume,
                                                JobContext& context);

// The hash of each tensor where `journal` lists all of the plan's, else nothing.
std::vector<uint64_t> HashesIfComplete(const JournalContents& journal, const QuantizePlan& plan);

}  // namespace quantized
