// The journal of a checkpoint: which units (tensors) of the output are finished. Format and the
// rules of what counts as damage: docs/formats/checkpoint.md. Pure: no files here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quantized {

struct UnitRecord {
  uint64_t index = 0;   // of the tensor in the output file
  uint64_t offset = 0;  // of its bytes in the file
  uint64_t size_bytes = 0;
  uint64_t hash = 0;  // of its bytes: core/pipeline/slices.h
  bool operator==(const UnitRecord&) const = default;
};

struct JournalContents {
  std::vector<UnitRecord> units;  // in the order of the journal; no index twice
  size_t synced_units = 0;        // the first so many were on disk when the journal said so
};

// `body` (without line ends) as a line of the journal: with its check and its end. `fingerprint` is
// that of the job: lines of another job do not check.
std::string JournalLine(std::string_view fingerprint, std::string_view body);

// The lines that there are.
std::string JournalHeader(std::string_view fingerprint);
std::string JournalUnit(std::string_view fingerprint, const UnitRecord& unit);
std::string JournalSyncedMark(std::string_view fingerprint, size_t synced_units);

// A whole journal that holds `units`, all of them on disk.
std::string CompleteJournal(std::string_view fingerprint, std::span<const UnitRecord> units);

// What `text` says. Lines after the last synced mark are taken up to the first that does not check
// (torn by a crash); an earlier line that does not check, a mark that counts more units than there
// are, or a unit that comes twice is kCheckpoint, with the number of the line.
absl::StatusOr<JournalContents> ParseJournal(std::string_view text, std::string_view fingerprint);

}  // namespace quantized
