#include "core/pipeline/resume.h"

#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/validate.h"

namespace quantized {
namespace {

bool IsPlanned(const UnitRecord& unit, const QuantizePlan& plan) {
  return unit.index < plan.tensors.size() && unit.offset == plan.tensors[unit.index].offset &&
         unit.size_bytes == plan.tensors[unit.index].size_bytes;
}

absl::Status Damaged(const File& part, const std::filesystem::path& folder,
                     const std::string& what) {
  return MakeError(Error::kCheckpoint,
                   StrCat(part.path().string(), ": ", what, " (checkpoint ", folder.string(), ")"),
                   "Remove the checkpoint folder to start anew");
}

}  // namespace

absl::StatusOr<ReusableUnits> FindReusableUnits(const std::filesystem::path& folder,
                                                const CheckpointOwner& owner,
                                                std::span<const File> parts,
                                                const QuantizePlan& plan, bool must_resume,
                                                JobContext& context) {
  ReusableUnits result;
  result.reused.assign(plan.tensors.size(), 0);
  result.hashes.assign(plan.tensors.size(), 0);
  ASSIGN_OR_RETURN(const std::optional<JournalContents> found, LoadCheckpoint(folder, owner));
  if (!found || found->units.empty()) return result;

  for (size_t i = 0; i < parts.size(); ++i) {
    ASSIGN_OR_RETURN(const uint64_t part_bytes, parts[i].SizeBytes());
    if (part_bytes == 0) {
      const std::string gone =
          StrCat("the checkpoint ", folder.string(), " lists ", found->units.size(),
                 " finished tensors, but ", parts[i].path().string(), ", which held them, is gone");
      if (must_resume) {
        return MakeError(Error::kCheckpoint, gone, "Leave out --resume to start anew");
      }
      context.progress.OnWarning(StrCat(gone, "; starting anew"));
      return result;
    }
    if (part_bytes != plan.files[i].size_bytes) {
      return Damaged(parts[i], folder,
                     StrCat("has ", part_bytes, " bytes, expected ", plan.files[i].size_bytes));
    }
  }

  for (const UnitRecord& unit : found->units) {
    if (!IsPlanned(unit, plan)) {
      return Damaged(parts[0], folder,
                     StrCat("the journal's tensor ", unit.index, " is not planned"));
    }
    result.hashes[unit.index] = unit.hash;
    result.reused[unit.index] = 1;
  }
  std::vector<uint8_t> matches;
  RETURN_IF_ERROR(MatchUnits(parts, plan, result.hashes, result.reused, context, matches));
  result.reused = matches;
  for (size_t i = 0; i < found->units.size(); ++i) {
    const UnitRecord& unit = found->units[i];
    if (matches[unit.index]) {
      result.units.push_back(unit);
    } else if (i < found->synced_units) {
      return Damaged(
          parts[plan.tensors[unit.index].file], folder,
          StrCat("tensor ", plan.tensors[unit.index].name, " is not what the checkpoint says"));
    }
  }
  return result;
}

std::vector<uint64_t> HashesIfComplete(const JournalContents& journal, const QuantizePlan& plan) {
  if (journal.units.size() != plan.tensors.size()) return {};
  std::vector<uint64_t> hashes(plan.tensors.size());
  for (const UnitRecord& unit : journal.units) {
    if (!IsPlanned(unit, plan)) return {};
    hashes[unit.index] = unit.hash;
  }
  return hashes;
}

}  // namespace quantized
